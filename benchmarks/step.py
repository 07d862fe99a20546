"""Measures the CPU time that the operator needs for one event about a task: to add the event to the
observed run, and to compute and write a patch of the MLJob's status. The time does not include
parsing the Kafka message.

A stand-in replaces the API server, and there is no Airflow. For comparison, the benchmark measures
a floor: the CPU time for encoding the patch as JSON and decoding the API server's answer. The
operator's time does not include the floor.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from devstack.progress import step
from mljob_contract.mljob import FINALIZER, StatusSource
from mljob_operator.controllers.mljob.classifier import Classifier
from mljob_operator.controllers.mljob.conf_sources import ConfSources
from mljob_operator.controllers.mljob.confs import Confs
from mljob_operator.controllers.mljob.look_ups import LookUps
from mljob_operator.controllers.mljob.milestones import Milestones
from mljob_operator.controllers.mljob.queued_jobs import QueuedJobs
from mljob_operator.controllers.mljob.reconciler import Reconciler
from mljob_operator.controllers.mljob.status_writer import StatusWriter
from mljob_operator.controllers.mljob.steps import Steps
from mljob_operator.controllers.mljob.upstreams import Upstreams
from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.controllers.mljob.write_queue import WriteQueue
from mljob_operator.core.airflow_instance.access import Namespace
from mljob_operator.core.airflow_instance.admission import AdmissionQueue, Limits
from mljob_operator.core.airflow_instance.catalog import AirflowCatalog
from mljob_operator.core.mljob.attempts import next_run
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.spec import spec_hash
from mljob_operator.core.run.facts import Details, Report, RunFact, Snapshot, TaskFact
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.run.vanishing import MissingRuns
from mljob_operator.ports import Airflows, JobMeter, JobStore, Meter, SourceChanges

SIZES = (5, 100)
"""The numbers of tasks of the measured MLJobs."""
STEPS = 300
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_NAMESPACE = Namespace("team-a")


@dataclass(frozen=True, slots=True)
class Result:
    """The CPU times for one event in microseconds, by the MLJob's number of tasks. Each figure is
    the 10th percentile of many events, because other load affects the fastest measurements least.

    Attributes:
        operator: The CPU time without encoding the patch and decoding the answer.
        floor: The CPU time for encoding the patch and decoding the answer.
    """

    operator: Mapping[int, float]
    floor: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object with the rounded CPU times and the ratio of operator to floor, by
        number of tasks.
        """
        return {
            str(tasks): {
                "cpu_us": round(self.operator[tasks]),
                "floor_us": round(self.floor[tasks]),
                "ratio": round(self.operator[tasks] / self.floor[tasks], 1),
            }
            for tasks in self.operator
        }


def measure(steps: int = STEPS) -> Result:
    """Measure one MLJob for each number of tasks in ``SIZES``. Each MLJob gets ``steps`` events."""
    operator, floor = {}, {}
    with step("step", f"{steps} steps of MLJobs with {' and '.join(map(str, SIZES))} tasks"):
        for tasks in SIZES:
            operator[tasks], floor[tasks] = asyncio.run(_measured(tasks, steps))
    return Result(operator, floor)


async def _measured(tasks: int, steps: int) -> tuple[float, float]:
    clock, server = _Clock(), _Server(_submitted_mljob())
    airflows, jobs = cast("Airflows", _NoAirflow()), QueuedJobs(cast("JobStore", server), WriteQueue())
    confs = Confs(jobs, clock)
    upstreams = Upstreams(jobs, clock)
    classifier = Classifier(
        airflows,
        clock,
        admission=AdmissionQueue(),
        missing_runs=MissingRuns(),
        upstreams=upstreams,
        prefix="mljob",
        cancel_fallback=timedelta(seconds=20),
    )
    reconciler = Reconciler(
        airflows,
        jobs,
        clock,
        classifier=classifier,
        confs=confs,
        upstreams=upstreams,
        prefix="mljob",
        process="p",
    )
    sources = ConfSources(cast("SourceChanges", None), lambda _: None)
    milestones = Milestones(cast("JobMeter", _NoMeter()), None, clock)
    writer = StatusWriter(jobs, cast("Meter", _NoMeter()), milestones, lambda _: None)
    look_ups = LookUps(lambda _: None)
    taker, worker = Steps(reconciler, jobs, writer, sources, confs, look_ups, clock), WorkerState(lambda _: None)
    job = Job.from_object(server.body)
    worker.begin(job, reconciler.transient(job))
    key, run = job.key, classifier.state(_known(worker)).run
    started = RunFact(RunState.RUNNING, StatusSource.REST, clock(), clock(), start=clock(), queued_at=clock())
    facts = tuple(_fact(number, clock) for number in range(tasks))
    worker.inbox.snapshots.append((run, Snapshot(clock(), run=started, tasks=facts, complete=True)))
    await taker.take(key, worker)
    took, floors = [], []
    gc.collect()
    gc.disable()
    try:
        for number in range(steps):
            clock.now += timedelta(milliseconds=10)
            worker.inbox.facts.append(({run}, _fact(number % tasks, clock, progress=number % 97 / 97)))
            server.seconds = 0.0
            began = time.process_time()
            await taker.take(key, worker)
            took.append(time.process_time() - began - server.seconds)
            floors.append(server.floor)
    finally:
        gc.enable()
    assert server.writes > 0.9 * steps, f"only {server.writes} of {steps} steps wrote a status"
    return _tenth(took), _tenth(floors)


def _tenth(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 10] * 1e6


def _known(worker: WorkerState) -> Any:
    assert worker.tracked is not None
    return worker.tracked


def _fact(number: int, clock: _Clock, progress: float = 0.0) -> TaskFact:
    now = clock()
    return TaskFact(
        task_id=f"task_{number:03}",
        map_index=-1,
        try_number=1,
        state=TaskState.RUNNING,
        source=StatusSource.KAFKA if progress else StatusSource.REST,
        occurred_at=now,
        observed_at=now,
        start=_BEGAN + timedelta(seconds=number),
        confirmed=True,
        details=Details(
            progress=Report(1, now, progress=progress), metrics=Report(1, now, metrics={"loss": 1 / (1 + progress)})
        ),
    )


def _submitted_mljob() -> dict[str, Any]:
    meta = {"namespace": "team-a", "name": "churn", "uid": "5f2f", "generation": 1, "resourceVersion": "1"}
    meta |= {"creationTimestamp": _BEGAN.isoformat(), "finalizers": [FINALIZER]}
    body = {"metadata": meta, "spec": {"dagId": "train", "conf": {"epochs": 3}}}
    job = Job.from_object(body)
    attempt = next_run(job, "mljob", 1, airflow="")
    status = {"attempts": 1, "dagId": "train", "dagRunId": attempt.run_id, "specHash": spec_hash(job.spec)}
    status |= {"phase": "Queued", "reason": "Submitted", "message": "", "submittedBy": "p", "observedGeneration": 1}
    return body | {"status": status | {"submitTime": _BEGAN.isoformat(), "activeSince": _BEGAN.isoformat()}}


class _Clock:
    now = _BEGAN

    def __call__(self) -> datetime:
        return self.now


class _Server:
    """A stand-in for the API server.

    Attributes:
        seconds: The CPU time that this class has used since the last Kafka event arrived.
        floor: The CPU time in which the last write encoded its patch and decoded its answer.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.writes = 0
        self.seconds = self.floor = 0.0

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        began = time.process_time()
        self.writes += 1
        meta = self.body["metadata"] | {"resourceVersion": str(self.writes + 1)}
        self.body = self.body | {"metadata": meta, "status": _merged(self.body.get("status", {}), patch)}
        answer = json.dumps(self.body)
        floor = time.process_time()
        json.dumps(patch)
        decoded = json.loads(answer)
        ended = time.process_time()
        self.floor = ended - floor
        self.seconds += ended - began
        return Job.from_object(decoded, job)

    async def record(self, *_: object) -> None: ...

    async def get(self, *_: object) -> None:
        raise AssertionError("nothing is read anew")


def _merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name) or {}, value) if isinstance(value, Mapping) else value
    return merged


class _NoAirflow:
    def catalog(self, namespace: str) -> AirflowCatalog:
        return AirflowCatalog(namespace=_NAMESPACE)

    def limits(self, airflow: str) -> Limits:
        return Limits(None, ())

    def ui_url(self, airflow: str) -> str:
        return "https://airflow.example.com"


class _NoMeter:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None
