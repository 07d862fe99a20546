"""Two hundred MLJobs run the example DAGs at the same time. The test cancels or deletes a quarter
of them at random moments.

At the end, each status must agree with Airflow. No unfinished run, no process of a task and no
finalizer may be left. The test also measures which share of the MLJobs' time the operator takes.

``make soak`` runs the test, and takes most of an hour on two cores. ``MLJOB_SOAK_JOBS`` sets the
number of MLJobs, and ``MLJOB_SOAK_SEED`` sets the random seed. Only a test of 200 MLJobs writes
benchmarks/results/soak.json.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
import yaml

from benchmarks.figures import percentile
from devstack.progress import elapsed, say, step
from devstack.stack import Stack
from tests.conftest import PARALLELISM, NewInstallation
from tests.e2e.parity import FINISHED, differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import TERMINAL, Object, finished

EXAMPLES = Path(__file__).parents[2] / "examples"
# No backfills: Airflow allows one active backfill for a DAG, so they would wait for each other.
FILES = (
    "train",
    "platform/1-generate",
    "platform/2-enrich",
    "platform/3-train",
    "platform/4-predict",
    "platform/5-infer",
)
# The soak test cancels some of the MLJobs, so none of them waits for the outputs of another. Each
# takes the latest dataset or model instead.
LATEST = {
    "enrich_dataset": {"dataset": "handwriting"},
    "select_model": {"dataset": "handwriting-enriched"},
    "predict": {"model_id": "handwriting"},
    "infer": {"model_id": "handwriting"},
}
RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "soak.json"
JOBS = 200
CANCELLED_SHARE = 0.25
CANCELLER = "mljob_cancel"
OVER = frozenset({"success", "failed"})
BOUND = 3600

pytestmark = pytest.mark.timeout(BOUND + 600)

Way = Literal["delete", "cancel"]


@dataclass
class Life:
    """When a watch reported the changes of one MLJob, in seconds since the epoch. An attribute is 0
    until the watch reports the change.

    Attributes:
        created: When the watch first reported the MLJob.
        running: When the phase became Running.
        told: When the phase became terminal.
        over: When the phase was terminal and no finalizer was left.
        gone: When the MLJob was removed from the cluster.
    """

    created: float = 0
    running: float = 0
    told: float = 0
    over: float = 0
    gone: float = 0


@dataclass
class Victim:
    """The plan to cancel or delete an MLJob.

    Attributes:
        way: ``delete`` for ``kubectl delete``, or ``cancel`` for ``spec.cancel``.
        waits_for_run: If True, ``delay`` begins when the watch reports the phase Running. If the
            watch never reports this phase, ``delay`` begins when the MLJob ends. If False,
            ``delay`` begins when the MLJob is created.
        delay: How many seconds after this beginning the test cancels or deletes the MLJob.
        asked: When the test cancelled or deleted the MLJob, in seconds since the epoch. 0 before
            that time.
    """

    way: Way
    waits_for_run: bool
    delay: float
    asked: float = 0

    def is_due(self, life: Life) -> bool:
        begins = (life.running or life.over) if self.waits_for_run else life.created
        return not self.asked and bool(begins) and time.time() > begins + self.delay


@dataclass
class Lives:
    of: dict[str, Life] = field(default_factory=dict)
    changes: int = 0

    def saw(self, kind: str, name: str, phase: str, finalizers: str) -> None:
        now, life = time.time(), self.of.setdefault(name, Life())
        self.changes += 1
        life.created = life.created or now
        if phase == "Running":
            life.running = life.running or now
        if phase in TERMINAL:
            life.told = life.told or now
            life.over = life.over or (0 if finalizers else now)
        if kind == "DELETED":
            life.gone = now


@contextmanager
def watched(installation: Installation) -> Iterator[Lives]:
    lives = Lives()
    line = "{.type}|{.object.metadata.name}|{.object.status.phase}|{.object.metadata.finalizers}"
    watch = installation.jobs.kubectl.start(
        "get", "mljobs", "--watch", "--output-watch-events", f'--output=jsonpath={line}{{"\\n"}}'
    )

    def read() -> None:
        assert watch.stdout is not None
        for said in watch.stdout:
            lives.saw(*said.rstrip("\n").split("|"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield lives
    finally:
        watch.terminate()
        watch.communicate(timeout=10)
        reader.join(timeout=10)


def manifests(count: int) -> list[Object]:
    """Return the manifests of ``count`` MLJobs, made from the examples. The manifests have no
    ``confFrom``, so no MLJob waits for the outputs of an MLJob that the test may cancel.
    """
    kinds = [yaml.safe_load((EXAMPLES / f"{file}.yaml").read_text()) for file in FILES]
    jobs = []
    for number, kind in zip(range(count), cycle(kinds), strict=False):
        spec = {name: value for name, value in kind["spec"].items() if name != "confFrom"}
        spec["conf"] = spec["conf"] | LATEST.get(spec["dagId"], {})
        jobs.append({**kind, "spec": spec, "metadata": {"name": f"soak-{number:03d}-{kind['spec']['type'].lower()}"}})
    return jobs


def victims(names: list[str], chance: random.Random) -> dict[str, Victim]:
    chosen = chance.sample(names, round(len(names) * CANCELLED_SHARE))
    return {
        name: Victim(chance.choice(("delete", "cancel")), chance.random() < 0.7, chance.uniform(0, 8))
        for name in chosen
    }


def task_processes(stack: Stack) -> list[psutil.Process]:
    """Return the processes of running tasks: all descendants of the executor's workers."""
    scheduler = psutil.Process(stack.pid("airflow-scheduler"))
    return [task for worker in scheduler.children() for task in worker.children(recursive=True)]


def cancel(installation: Installation, name: str, victim: Victim) -> None:
    victim.asked = time.time()
    if victim.way == "delete":
        installation.jobs.kubectl("delete", "mljob", name, "--wait=false")
    else:
        installation.jobs.kubectl("patch", "mljob", name, "--type=merge", '--patch={"spec": {"cancel": true}}')


def test_many_mljobs_end_as_airflow_says_and_leave_nothing_behind(
    installation: NewInstallation, airflow: AirflowRest, stack: Stack
) -> None:
    count, seed = int(os.environ.get("MLJOB_SOAK_JOBS", JOBS)), int(os.environ.get("MLJOB_SOAK_SEED", 0))
    soak = installation("soak")
    jobs = manifests(count)
    names = [job["metadata"]["name"] for job in jobs]
    to_cancel = victims(names, random.Random(seed))
    deleted = {name for name, victim in to_cancel.items() if victim.way == "delete"}

    with step("soak", "making a dataset and a model for the other MLJobs"):
        first = [{**job, "metadata": {"name": f"first-{number}"}} for number, job in enumerate(manifests(len(FILES)))]
        soak.jobs.apply(*first)
        ended = soak.jobs.until_finished(*(job["metadata"]["name"] for job in first), within=600)
        assert {job["status"]["phase"] for job in ended.values()} == {"Succeeded"}
        soak.jobs.kubectl("delete", "mljobs", "--all")

    began, cpu_before = time.time(), soak.operator.cpu_seconds()
    with watched(soak) as lives:
        soak.jobs.apply(*jobs)

        def all_over() -> bool:
            for name, victim in to_cancel.items():
                if victim.is_due(lives.of.get(name, Life())):
                    cancel(soak, name, victim)
            there = soak.jobs.all()
            return set(there) == set(names) - deleted and all(finished(job) for job in there.values())

        def counts() -> str:
            phases = Counter("over" if life.over or life.gone else "under way" for life in lives.of.values())
            return ", ".join(f"{number} {phase}" for phase, number in sorted(phases.items()))

        with step("soak", f"{count} MLJobs, {len(to_cancel)} of them to be cancelled (seed {seed})", counts):
            eventually(all_over, "all are over", within=BOUND, evidence=soak.operator.log_end)
        wall = time.time() - began
    cpu = soak.operator.cpu_seconds() - cpu_before

    # Each status is as Airflow has the run ...
    there = soak.jobs.all()
    wrong: dict[str, Any] = {}
    for name, job in there.items():
        status = job["status"]
        if status.get("dagRunId") is None:
            # The MLJob was cancelled before its run was submitted.
            if status["phase"] != "Cancelled":
                wrong[name] = status
            continue
        found = differences(status, airflow)
        if status["phase"] == "Cancelled" and name in to_cancel:
            del found["phase"]
        if found or (name not in to_cancel and status["phase"] != "Succeeded"):
            wrong[name] = found or status
    assert not wrong

    # ... each MLJob has one run, and no run is unfinished, including those of the cancellation DAG
    # ...
    runs = airflow.runs(f"{soak.operator.prefix}.{soak.jobs.namespace}.soak-")
    owners = Counter(run["dag_run_id"].split(".")[2] for run in runs)
    assert {name: number for name, number in owners.items() if number != 1} == {}
    assert {name for name, job in there.items() if job["status"].get("dagRunId")} <= set(owners)
    assert [run["dag_run_id"] for run in runs if run["state"] not in OVER] == []
    cancellations = airflow.runs(f"cancel.{soak.operator.prefix}.{soak.jobs.namespace}.")
    eventually(
        lambda: (
            not [
                run
                for run in cancellations
                if airflow.run(CANCELLER, run["dag_run_id"])["state"] not in OVER  # type: ignore[index]
            ]
        ),
        "no run of the cancellation DAG is unfinished",
    )
    unfinished = [
        (run["dag_run_id"], row["task_id"])
        for run in runs
        for row in airflow.task_instances(run["dag_id"], run["dag_run_id"])
        if row["state"] not in FINISHED
    ]
    assert not unfinished
    # ... and no process and no finalizer is left.
    eventually(lambda: not task_processes(stack), "no task's process is left", evidence=lambda: task_processes(stack))
    assert not [name for name, job in there.items() if job["metadata"].get("finalizers")]

    figures = report(lives, {run["dag_run_id"].split(".")[2]: run for run in runs}, to_cancel)
    figures |= {
        "jobs": count,
        "cancelled": len(to_cancel),
        "seed": seed,
        "parallel_tasks": PARALLELISM,
        "cores": os.cpu_count(),
        "wall_seconds": round(wall),
        "phases": dict(Counter(job["status"]["phase"] for job in there.values()), gone=len(deleted)),
        "status_changes_seen": lives.changes,
        "operator_cpu_seconds": round(cpu, 1),
        "operator_cpu_percent_of_one_core": round(100 * cpu / wall, 1),
    }
    say(f"\n  {count} MLJobs were over after {elapsed(wall)}:\n{json.dumps(figures, indent=2)}")
    if count == JOBS:
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")


def report(lives: Lives, runs: dict[str, Object], to_cancel: dict[str, Victim]) -> dict[str, Any]:
    """Return the median, the 99th percentile and the maximum of four durations, in seconds.

    - ``submit_seconds``: from the creation of an MLJob until its run is queued.
    - ``report_end_seconds``: from the end of a run until the MLJob's phase is terminal.
    - ``job_seconds``: from the creation of an MLJob until its phase is terminal.
    - ``cancel_seconds``: from the request to cancel or delete an MLJob until the MLJob has ended or
      is deleted. MLJobs that the watch never saw running are left out.

    The first three durations are of the MLJobs that the test neither cancels nor deletes.

    Also return ``operator_share_percent``: the sum of all ``submit_seconds`` and
    ``report_end_seconds``, as a percentage of the sum of all ``job_seconds``.
    """
    before, after, whole = [], [], []
    for name, life in lives.of.items():
        if name in to_cancel:
            continue
        before.append(_epoch(runs[name]["queued_at"]) - life.created)
        after.append(life.told - _epoch(runs[name]["end_date"]))
        whole.append(life.told - life.created)
    cancelling = [
        (life.gone or life.over) - victim.asked
        for name, victim in to_cancel.items()
        if (life := lives.of[name]).running and victim.asked
    ]
    return {
        "operator_share_percent": round(100 * (sum(before) + sum(after)) / sum(whole), 2),
        "submit_seconds": _spread(before),
        "report_end_seconds": _spread(after),
        "job_seconds": _spread(whole),
        "cancel_seconds": _spread(cancelling),
    }


def _spread(samples: list[float]) -> dict[str, float]:
    return {name: round(percentile(samples, share), 3) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))}


def _epoch(time_of_airflow: str) -> float:
    return datetime.fromisoformat(time_of_airflow.replace("Z", "+00:00")).timestamp()
