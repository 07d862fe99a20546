from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, manifest

LONG = "parity_long_running"
TASKS_AT_ONCE = 3
"""The number of tasks that run at the same time in a run of ``LONG``."""
CANCELLER = "mljob_cancel"
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Worker:
    """The process of an MLJob's task. The task writes the process id into ``file``."""

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
        # The process learns at its next heartbeat that the task was set to failed, and then has five
        # seconds to end.
        eventually(lambda: not self.works, "the worker's process is gone", within=45)


class Work:
    """Starts MLJobs whose runs stay active. After the test, :meth:`end` ends all unfinished runs of
    each installation that was passed to :meth:`begin`.
    """

    def __init__(self, folder: Path, airflow: AirflowRest) -> None:
        self._folder = folder
        self._airflow = airflow
        self._begun: list[Installation] = []

    def begin(self, installation: Installation, *names: str, **spec: Any) -> list[Worker]:
        """Submit MLJobs, and wait until a task of each MLJob has a process. Return the processes."""
        self._begun.append(installation)
        workers = [Worker(self._folder / f"{installation.operator.name}-{name}") for name in names]
        jobs = installation.jobs
        jobs.apply(*(manifest(name, LONG, worker.conf, **spec) for name, worker in zip(names, workers, strict=True)))
        for name, worker in zip(names, workers, strict=True):
            worker.until_it_works(jobs, name)
        return workers

    def leave_none_of(self, installation: Installation) -> None:
        # Each unfinished run would occupy three of Airflow's task slots.
        for run in self._airflow.runs(f"{installation.operator.prefix}.{installation.jobs.namespace}."):
            if run["state"] not in OVER:
                self._airflow.end(run["dag_id"], run["dag_run_id"])

    def end(self) -> None:
        for installation in self._begun:
            self.leave_none_of(installation)


def delete(jobs: MLJobs, name: str) -> str:
    run_id: str = jobs.status(name)["dagRunId"]
    jobs.kubectl("delete", "mljob", name, "--timeout=150s", timeout=180)
    return run_id


def assert_run_is_over(airflow: AirflowRest, run_id: str, dag_id: str = LONG) -> None:
    assert airflow.ended(dag_id, run_id)["state"] == "failed"
    unfinished = [row["task_id"] for row in airflow.task_instances(dag_id, run_id) if row["state"] not in OVER]
    assert not unfinished


def cancellation(airflow: AirflowRest, run_id: str) -> str | None:
    run = airflow.run(CANCELLER, f"cancel.{run_id}")
    return run["state"] if run else None
