"""The MLJobs that fill the dashboard: three teams run all kinds of work in two Airflows. Some MLJobs
fail, some are cancelled, and some wait. For a while, Airflow answers slowly and with errors.

The chance is seeded, so the same plan creates the same MLJobs at the same times.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import Airflow, ServerError, path_of
from benchmarks.writer import Writer
from mljob_contract.airflow_instance import CREDENTIALS_LABEL
from mljob_contract.airflow_instance import KIND as INSTANCE_KIND
from mljob_contract.airflow_instance import PLURAL as INSTANCES
from mljob_contract.mljob import KIND
from mljob_contract.resource import API_VERSION

TEAMS = {"team-churn": 5, "team-fraud": 3, "team-search": 2}
"""The namespaces, with the weights of their shares of the MLJobs."""
INSTANCE = "prod"
"""The AirflowInstance. Its limit makes MLJobs wait at the busiest time."""
LIMIT = 14
CREDENTIALS_NAMESPACE = "mljob-system"
QUIET, BUSY = 0.5, 2.6
"""MLJobs per second at the begin and the end of the load, and in its middle."""
FAULTS = {"errors": 0.2, "throttled": 0.06, "latency_seconds": 0.25}
USUAL = {"latency_seconds": 0.02}
"""The faults of both Airflows in the time of trouble, and at other times."""
TROUBLE = (0.58, 0.7)
"""When the time of trouble begins and ends, in shares of the load's time."""
FOREIGN_EVERY = 6.0
"""Seconds between two runs that somebody triggers in Airflow. Their events are about no MLJob."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of MLJob.

    Attributes:
        name: The first part of the MLJobs' names.
        weight: The weight of the kind's share of the MLJobs.
        spec: The spec.
        cancelled_after: The seconds after which the MLJob is cancelled, or None.
    """

    name: str
    weight: int
    spec: Mapping[str, Any]
    cancelled_after: float | None = None


def _spec(kind: str, dag_id: str, *, instance: bool = False, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "dagId": dag_id, **({"airflowRef": {"name": INSTANCE}} if instance else {}), **fields}


KINDS = (
    Kind("train", 24, _spec("Training", "train_model", instance=True)),
    Kind("predict", 30, _spec("Prediction", "predict")),
    Kind("enrich", 16, _spec("Enrichment", "enrich_features", instance=True)),
    Kind("generate", 10, _spec("DatasetGeneration", "generate_dataset")),
    Kind("unstable", 6, _spec("Training", "train_unstable", instance=True)),
    Kind("retried", 3, _spec("Training", "train_unstable", backoffLimit=1)),
    Kind("tune", 5, _spec("Training", "tune_model"), cancelled_after=25),
    Kind("endless", 3, _spec("Training", "tune_model", activeDeadlineSeconds=30)),
    Kind("invalid", 1, _spec("Custom", "compare_models", conf={"candidates": "all"})),
    Kind("unknown", 1, _spec("Inference", "infer_online")),
    Kind("nightly", 1, _spec("Training", "retrain_nightly")),
    Kind("suspended", 1, _spec("Training", "train_model", suspend=True)),
)


@dataclass(frozen=True, slots=True)
class Creation:
    """An MLJob to create, ``at`` seconds after the begin of the load."""

    at: float
    namespace: str
    name: str
    kind: Kind


def creations(seconds: float, seed: int = 7) -> Iterator[Creation]:
    """Yield the MLJobs to create within ``seconds``, in the order of their times."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    at, number = 0.0, 0
    while True:
        rate = QUIET + (BUSY - QUIET) * math.sin(math.pi * min(at / seconds, 1)) ** 2
        at += chance.expovariate(rate)
        if at >= seconds:
            return
        (kind,) = chance.choices(KINDS, [kind.weight for kind in KINDS])
        (team,) = chance.choices(list(TEAMS), list(TEAMS.values()))
        number += 1
        yield Creation(at, team, f"{kind.name}-{number:04d}", kind)


@dataclass(slots=True)
class Load:
    """Creates and cancels the MLJobs.

    Attributes:
        writer: The client of the Kubernetes API.
        airflows: The Airflow of the operator's settings, and that of the AirflowInstance.
        seconds: How long MLJobs are created.
        created: How many MLJobs were created so far.
    """

    writer: Writer
    airflows: Sequence[Airflow]
    seconds: float
    created: int = 0
    _cancellations: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> None:
        """Create and cancel MLJobs until the time is over. Cancellations that are due later don't
        happen.
        """
        began = time.monotonic()
        others = [asyncio.create_task(self._trouble()), asyncio.create_task(self._trigger_runs())]
        try:
            for each in creations(self.seconds):
                await asyncio.sleep(max(0.0, began + each.at - time.monotonic()))
                await self._create(each)
            await asyncio.sleep(max(0.0, began + self.seconds - time.monotonic()))
            for task in (*others, *self._cancellations):
                if task.done():
                    task.result()
        finally:
            for task in (*others, *self._cancellations):
                task.cancel()

    async def _create(self, creation: Creation) -> None:
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": creation.name, "namespace": creation.namespace},
            "spec": creation.kind.spec,
        }
        await self.writer.send("POST", path_of(creation.namespace), body)
        self.created += 1
        if creation.kind.cancelled_after is not None:
            self._cancellations.append(asyncio.create_task(self._cancel(creation, creation.kind.cancelled_after)))

    async def _cancel(self, creation: Creation, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.writer.cancel(creation.namespace, creation.name)

    async def _trouble(self) -> None:
        begin, end = (share * self.seconds for share in TROUBLE)
        for pause, faults in ((0.0, USUAL), (begin, FAULTS), (end - begin, USUAL)):
            await asyncio.sleep(pause)
            for airflow in self.airflows:
                await asyncio.to_thread(airflow.set_faults, faults)

    async def _trigger_runs(self) -> None:
        number = 0
        while True:
            number += 1
            with suppress(ServerError):  # in the time of trouble
                await asyncio.to_thread(self.airflows[0].trigger, "predict", f"manual-{number}")
            await asyncio.sleep(FOREIGN_EVERY)


async def make_instance(writer: Writer, url: str, user: str, password: str) -> None:
    """Create the AirflowInstance and the Secret with its login. All namespaces may use it."""
    secret = {
        "metadata": {"name": INSTANCE, "labels": {CREDENTIALS_LABEL: "true"}},
        "stringData": {"user": user, "password": password},
    }
    await writer.send("POST", f"/api/v1/namespaces/{CREDENTIALS_NAMESPACE}/secrets", secret)
    instance = {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "metadata": {"name": INSTANCE},
        "spec": {
            "url": url,
            "credentials": {"passwordSecretRef": {"name": INSTANCE}},
            "kafka": {"source": INSTANCE},
            "access": [{}],
            "maxActiveRuns": LIMIT,
        },
    }
    await writer.send("POST", f"/apis/{API_VERSION}/{INSTANCES}", instance)
