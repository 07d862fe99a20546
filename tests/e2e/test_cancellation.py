"""Deleting an MLJob in mid-run ends its run, and `kubectl delete` returns when Airflow says that it has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import PARALLELISM, NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, manifest

LONG = "parity_long_running"
TASKS_AT_ONCE = 3
"""Of that DAG."""
CANCELLER = "mljob_cancel"
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Worker:
    """The process that works for an MLJob; it writes its id into a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def conf(self) -> dict[str, object]:
        return {"pid_file": str(self.file)}

    @property
    def pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(self.file.read_text())
        return 0

    @property
    def works(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.pid > 0 and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def until_it_works(self, jobs: MLJobs, name: str) -> None:
        eventually(lambda: self.works, f"{name} works", within=240, evidence=partial(jobs.evidence, name))

    def until_it_is_gone(self) -> None:
        """A process learns at its next heartbeat that its task was failed, and has five seconds then."""
        eventually(lambda: not self.works, "the worker's process is gone", within=45)


class Work:
    """MLJobs in mid-run, each with a worker's process."""

    def __init__(self, folder: Path, airflow: AirflowRest) -> None:
        self._folder = folder
        self._airflow = airflow
        self._begun: list[Installation] = []

    def begin(self, installation: Installation, *names: str, **spec: Any) -> list[Worker]:
        """Submit MLJobs, and wait until they work."""
        self._begun.append(installation)
        workers = [Worker(self._folder / f"{installation.operator.name}-{name}") for name in names]
        jobs = installation.jobs
        jobs.apply(*(manifest(name, LONG, worker.conf, **spec) for name, worker in zip(names, workers, strict=True)))
        for name, worker in zip(names, workers, strict=True):
            worker.until_it_works(jobs, name)
        return workers

    def leave_none_of(self, installation: Installation) -> None:
        """End its runs, whatever became of the test: each holds three of Airflow's slots."""
        for run in self._airflow.runs(f"{installation.operator.prefix}.{installation.jobs.namespace}."):
            if run["state"] not in OVER:
                self._airflow.end(run["dag_id"], run["dag_run_id"])

    def end(self) -> None:
        for installation in self._begun:
            self.leave_none_of(installation)


@pytest.fixture
def work(tmp_path: Path, airflow: AirflowRest) -> Iterator[Work]:
    work = Work(tmp_path, airflow)
    yield work
    work.end()


def delete(jobs: MLJobs, name: str) -> str:
    """`kubectl delete`, which returns when the object is gone; the id of its run."""
    run_id: str = jobs.status(name)["dagRunId"]
    jobs.kubectl("delete", "mljob", name, "--timeout=150s", timeout=180)
    return run_id


def assert_run_is_over(airflow: AirflowRest, run_id: str, dag_id: str = LONG) -> None:
    assert airflow.ended(dag_id, run_id)["state"] == "failed"
    unfinished = [row["task_id"] for row in airflow.task_instances(dag_id, run_id) if row["state"] not in OVER]
    assert not unfinished


def cancellation(airflow: AirflowRest, run_id: str) -> str | None:
    """The state of the cancellation DAG's run for a run; None when there is none."""
    run = airflow.run(CANCELLER, f"cancel.{run_id}")
    return run["state"] if run else None


@pytest.mark.parametrize("source", [pytest.param("with_kafka", marks=pytest.mark.every_airflow), "rest_only"])
def test_the_cancellation_dag_ends_the_run(
    source: str, work: Work, request: pytest.FixtureRequest, airflow: AirflowRest
) -> None:
    installation: Installation = request.getfixturevalue(source)
    jobs, [worker] = installation.jobs, work.begin(installation, "by-dag")
    with jobs.watch("by-dag") as watch:
        run_id = delete(jobs, "by-dag")

        assert_run_is_over(airflow, run_id)
        eventually(lambda: cancellation(airflow, run_id) == "success", f"{CANCELLER} has succeeded")
        worker.until_it_is_gone()
        eventually(lambda: "DELETED" in [kind for kind, _ in watch.events()], "the watch tells of it")
    phases = [status.get("phase") for status in watch.statuses("by-dag")]
    assert "Cancelling" in phases
    assert phases[-1] == "Cancelled"
    assert {"Cancelling", "Cancelled"} <= {event["reason"] for event in jobs.events("by-dag")}


def test_with_strategy_api_no_cancellation_dag_is_needed(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    [worker] = work.begin(with_kafka, "by-api", cancellation={"strategy": "Api"})

    run_id = delete(with_kafka.jobs, "by-api")

    assert_run_is_over(airflow, run_id)
    assert cancellation(airflow, run_id) is None
    worker.until_it_is_gone()


def test_a_run_to_be_retained_goes_on_without_its_mljob(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    [worker] = work.begin(with_kafka, "to-stay", deletionPolicy="Retain")

    run_id = delete(with_kafka.jobs, "to-stay")

    run = airflow.run(LONG, run_id)
    assert run is not None
    assert run["state"] == "running"
    assert cancellation(airflow, run_id) is None
    assert worker.works


@pytest.mark.disruptive
def test_where_the_cancellation_dag_is_paused_rest_does_it(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    [worker] = work.begin(with_kafka, "canceller-paused")
    airflow.pause(CANCELLER, paused=True)
    try:
        run_id = delete(with_kafka.jobs, "canceller-paused")
    finally:
        airflow.pause(CANCELLER, paused=False)

    assert_run_is_over(airflow, run_id)
    assert cancellation(airflow, run_id) is None
    worker.until_it_is_gone()


@pytest.mark.disruptive
def test_where_the_cancellation_dag_gets_no_slot_rest_does_it(
    work: Work, with_kafka: Installation, airflow: AirflowRest
) -> None:
    names = [f"greedy-{number}" for number in range(PARALLELISM // TASKS_AT_ONCE + 1)]
    with_kafka.jobs.apply(*(manifest(name, LONG) for name in names))

    def taken() -> bool:
        return running(with_kafka.jobs, names) >= PARALLELISM

    try:
        eventually(taken, "all slots are taken", within=240, evidence=partial(with_kafka.jobs.evidence, *names))
        run_ids = [with_kafka.jobs.status(name)["dagRunId"] for name in names]
        with_kafka.jobs.kubectl("delete", "mljobs", *names, "--timeout=240s", timeout=270)
    finally:
        work.leave_none_of(with_kafka)

    for run_id in run_ids:
        assert_run_is_over(airflow, run_id)
        # Those that come late find nothing to do; until they have, they are in the way of the next test's.
        eventually(lambda run_id=run_id: cancellation(airflow, run_id) in (None, *OVER), "it has ended", within=240)  # type: ignore[misc]


def running(jobs: MLJobs, names: list[str]) -> int:
    """How many of their tasks run."""
    found = jobs.all()
    return sum(found[name].get("status", {}).get("taskCounts", {}).get("running", 0) for name in names)


def test_teardown_tasks_release_what_the_run_holds(
    tmp_path: Path, with_kafka: Installation, airflow: AirflowRest
) -> None:
    file = tmp_path / "torn-down"
    with_kafka.jobs.submit("holds", "parity_long_running_teardown", {"torn_down_file": str(file)})
    with_kafka.jobs.until("holds", lambda status: status.get("currentTask") == "hold", "it holds something", within=240)

    run_id = delete(with_kafka.jobs, "holds")

    eventually(file.exists, "the teardown has run", within=30)
    eventually(lambda: cancellation(airflow, run_id) == "success", f"{CANCELLER} has succeeded")
    assert airflow.ended("parity_long_running_teardown", run_id)["state"] == "failed"


def test_an_mljob_that_never_got_a_run_goes_at_once(with_kafka: Installation, airflow: AirflowRest) -> None:
    with_kafka.jobs.submit("runless", "no_such_dag")
    with_kafka.jobs.until("runless", lambda status: status.get("reason") == "DagNotFound", "DagNotFound")

    with_kafka.jobs.kubectl("delete", "mljob", "runless", "--timeout=60s")

    assert airflow.runs(with_kafka.run_prefix("runless")) == []


def test_a_finished_mljob_can_be_deleted_with_the_operator_down(installation: NewInstallation) -> None:
    short = installation("short-lived")
    short.jobs.submit("done", "parity_empty")
    done = short.jobs.until_finished("done")["done"]
    assert "finalizers" not in done["metadata"]

    short.operator.kill()
    short.jobs.kubectl("delete", "mljob", "done", "--timeout=10s")


def test_a_deletion_asked_for_while_the_operator_was_down_is_made_good(
    work: Work, installation: NewInstallation, airflow: AirflowRest
) -> None:
    absent = installation("absent")
    [worker] = work.begin(absent, "orphan")
    run_id = absent.jobs.status("orphan")["dagRunId"]
    absent.operator.kill()
    absent.jobs.kubectl("delete", "mljob", "orphan", "--wait=false")

    absent.operator.start()
    absent.jobs.until_gone("orphan", within=240)

    assert_run_is_over(airflow, run_id)
    worker.until_it_is_gone()
