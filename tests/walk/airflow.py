"""An Airflow that runs by itself beside an operator: its DAGs end as their names say, and
each step takes a moment.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from mljob_contract.backfill_marker import Marker
from mljob_operator.core.run.states import TERMINAL_RUN, RunState, TaskState
from tests.fakes.airflow import CANCEL_DAG, FakeAirflow, FakeRun
from tests.fakes.airflow_http import AirflowApi, AirflowServer

SUCCEEDS, PUBLISHES, FAILS, WAITS, PAUSED, STRICT = "succeeds", "publishes", "fails", "waits", "paused", "strict"
DAYS = tuple(f"days-{number}" for number in range(80))
"""DAGs with a schedule. Airflow creates one backfill of a DAG at a time, so few MLJobs
share a DAG.
"""
ODD = "a-DAG.with_an-odd.ID"
MISSING = "not-deployed-yet"
DAGS = (SUCCEEDS, PUBLISHES, FAILS, WAITS, PAUSED, STRICT, ODD)
TICK = 0.1
"""Seconds between two steps of a run."""


def now() -> datetime:
    return datetime.now(UTC)


class WorkingAirflow:
    """A fake Airflow behind its REST API, whose runs continue by themselves.

    Attributes:
        fake: The fake with its runs; access it only while holding ``api.lock``.
        url: The URL of the REST API.
        token: A valid token.
    """

    user, password = "operator", "s3cret"

    def __init__(self) -> None:
        dags = dict.fromkeys((*DAGS, *DAYS), ("first", "last"))
        self.fake = FakeAirflow(now, dags)
        self.fake.daily |= set(DAYS)
        self.fake.paused.add(PAUSED)
        self.fake.required[STRICT] = ("count",)
        self.fake.dag_params[STRICT] = {"count": {"value": None, "schema": {"type": "integer"}}}
        self.api = AirflowApi(self.fake, user=self.user, password=self.password)
        login = json.dumps({"username": self.user, "password": self.password}).encode()
        _, answer = self.api.answer("POST", "/auth/token", None, login)
        self.token: str = answer["access_token"]
        self.server = AirflowServer(self.api)
        self.url = self.server.url

    @contextmanager
    def at_work(self) -> Iterator[WorkingAirflow]:
        """Answer requests and advance runs until the context ends."""
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(TICK):
                with self.api.lock:
                    self._tick()

        scheduler = threading.Thread(target=work, name="fake scheduler", daemon=True)
        with self.server:
            scheduler.start()
            try:
                yield self
            finally:
                ended.set()
                scheduler.join()

    def active(self) -> list[str]:
        """Active runs of MLJobs and active backfills, by the run ids in the statuses."""
        with self.api.lock:
            runs = [
                run for run in self.fake.runs.values() if run.state not in TERMINAL_RUN and run.dag_id != CANCEL_DAG
            ]
            return [marker.run_id if (marker := Marker.read(run.conf)) is not None else run.run_id for run in runs]

    def _tick(self) -> None:
        for run in [run for run in self.fake.runs.values() if run.state not in TERMINAL_RUN]:
            if run.dag_id == CANCEL_DAG:
                self._cancel(run)
            elif run.dag_id not in self.fake.paused and self._has_room(run):
                self._go_on(run)
        for backfill in list(self.fake.backfills.made.values()):
            if backfill.completed_at is None and all(
                run.state in TERMINAL_RUN for run in self.fake.backfills.runs(backfill.id)
            ):
                self.fake.backfills.close(backfill.id)

    def _has_room(self, run: FakeRun) -> bool:
        if run.backfill is None or run.state is RunState.RUNNING:
            return True
        backfill = self.fake.backfills.made[run.backfill]
        running = sum(other.state is RunState.RUNNING for other in self.fake.backfills.runs(backfill.id))
        return not backfill.paused and running < backfill.max_active_runs

    def _go_on(self, run: FakeRun) -> None:
        if run.state is RunState.QUEUED:
            self.fake.begin(run)
            self._set(run, "first", TaskState.RUNNING)
        elif run.dag_id == WAITS:
            return
        elif run.tasks["last", -1].state is not TaskState.RUNNING:
            self._set(run, "first", TaskState.SUCCESS)
            self._set(run, "last", TaskState.RUNNING)
        else:
            failed = run.dag_id == FAILS
            self._set(run, "last", TaskState.FAILED if failed else TaskState.SUCCESS)
            if run.dag_id == PUBLISHES:
                run.outputs = {"accuracy": 0.93, "model": {"name": "digits", "layers": [1, 2]}}
                run.xcoms = {("first", "return_value"): [1, 2, 3], ("last", "return_value"): "done"}
            self.fake.end(run, RunState.FAILED if failed else RunState.SUCCESS)

    def _cancel(self, run: FakeRun) -> None:
        target = self.fake.runs.get((run.conf["dag_id"], run.conf["dag_run_id"]))
        if target is not None and target.state not in TERMINAL_RUN:
            for task in list(target.tasks.values()):
                self._set(target, task.task_id, TaskState.FAILED)
            self.fake.end(target, RunState.FAILED)
        self._set(run, "cancel", TaskState.SUCCESS)
        self.fake.end(run, RunState.SUCCESS)

    def _set(self, run: FakeRun, task_id: str, state: TaskState) -> None:
        task = run.tasks[task_id, -1]
        begins = task.state is TaskState.NONE
        self.fake.set_task(run, task_id, state, try_number=task.try_number + begins)
