"""The world in memory, for unit tests: small, and held to the same suite as the real thing (``tests/contract``).

Faults are made here that the real parts can't be made to show on demand: an answer that is lost after the request took effect, a
write that somebody else overtakes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mljob_contract.mljob import API_VERSION, FINALIZER, KIND, StatusSource
from mljob_operator.core.facts import RunFact, TaskFact
from mljob_operator.core.identity import cancel_run_id
from mljob_operator.core.job import Job, Key
from mljob_operator.core.notices import Notice
from mljob_operator.core.phases import ACTIVE_TASK, FINISHED_TASK, TERMINAL_RUN, RunState, TaskState
from mljob_operator.errors import (
    AirflowUnavailable,
    Conflict,
    DagNotFound,
    DagRefused,
    Gone,
    StoreError,
    ValidationFailed,
)
from mljob_operator.ports import RunChange, TaskChange

CANCEL_DAG = "mljob_cancel"


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


class SilentMeter:
    """Counts nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


@dataclass
class FakeRun:
    """A run in the fake Airflow."""

    dag_id: str
    run_id: str
    conf: dict[str, Any]
    state: RunState
    created: datetime
    changed: datetime
    start: datetime | None = None
    end: datetime | None = None
    tasks: dict[tuple[str, int], TaskFact] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


class FakeAirflow:
    """Airflow's dag runs, in memory.

    Attributes:
        dags: Task ids by DAG id; what is not here is unknown.
        required: Names that a DAG's conf must have.
        paused: DAGs that are paused.
        down: Whether requests get no answer.
        lose_answers: How many submissions take effect without an answer.
        calls: What was asked, in sequence.
    """

    def __init__(self, clock: FakeClock | Any, dags: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._clock = clock
        self.dags = {"train": ("extract", "fit"), CANCEL_DAG: ("cancel",), **(dags or {})}
        self.required: dict[str, tuple[str, ...]] = {}
        self.paused: set[str] = set()
        self.runs: dict[tuple[str, str], FakeRun] = {}
        self.down = False
        self.lose_answers = 0
        self.calls: list[str] = []
        self.clock_offset = timedelta(0)

    # DagRuns

    async def submit(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> RunFact:
        """As Airflow: 404 for an unknown DAG, 400 for a conf that doesn't fit, 409 adopts."""
        self._asked("submit")
        if dag_id not in self.dags:
            raise DagNotFound(f"no DAG {dag_id}")
        if missing := [name for name in self.required.get(dag_id, ()) if name not in conf]:
            raise ValidationFailed(f"Invalid input for param {missing[0]}")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            now = self._clock()
            run = FakeRun(dag_id, run_id, dict(conf), RunState.QUEUED, created=now, changed=now)
            run.tasks = {
                (task_id, -1): TaskFact(task_id, -1, 0, TaskState.NONE, StatusSource.REST, now, now)
                for task_id in self.dags[dag_id]
            }
            self.runs[dag_id, run_id] = run
        if self.lose_answers:
            self.lose_answers -= 1
            raise AirflowUnavailable("the answer was lost", outcome_unknown=True)
        return self._fact(run)

    async def search(self, run_id: str) -> tuple[str, RunFact] | None:
        """In any DAG."""
        self._asked("search")
        return next(((run.dag_id, self._fact(run)) for run in self.runs.values() if run.run_id == run_id), None)

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """One run."""
        self._asked("get")
        run = self.runs.get((dag_id, run_id))
        return self._fact(run) if run else None

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """Its task instances."""
        self._asked("tasks")
        run = self.runs.get((dag_id, run_id))
        return [replace(task, seen=self._clock()) for task in run.tasks.values()] if run else []

    async def outputs(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """What its tasks published."""
        self._asked("outputs")
        run = self.runs.get((dag_id, run_id))
        return dict(run.outputs) if run else {}

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """The cancellation DAG does its work at once, unless it is paused or missing."""
        self._asked("trigger_cancellation")
        if CANCEL_DAG not in self.dags or CANCEL_DAG in self.paused:
            raise DagRefused("the cancellation DAG can't run")
        await self.submit(CANCEL_DAG, cancel_run_id(run_id), {"dag_id": dag_id, "dag_run_id": run_id}, reason)

    async def cancellation_runs(self, run_id: str) -> bool:
        """Whether the cancellation DAG is at it."""
        self._asked("cancellation_runs")
        run = self.runs.get((CANCEL_DAG, cancel_run_id(run_id)))
        return run is not None and any(task.state in ACTIVE_TASK for task in run.tasks.values())

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Fail what is unfinished."""
        self._asked("cancel")
        if (run := self.runs.get((dag_id, run_id))) is not None and run.state not in TERMINAL_RUN:
            for key, task in run.tasks.items():
                if task.state not in FINISHED_TASK:
                    self.set_task(run, key[0], TaskState.FAILED, map_index=key[1])
            self.end(run, RunState.FAILED)

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """The change feed."""
        self._asked("changed_runs")
        return [
            RunChange(run.dag_id, run.run_id, self._fact(run))
            for run in self.runs.values()
            if run.changed >= since and run.run_id.startswith("mljob.")
        ]

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """The change feed."""
        self._asked("changed_tasks")
        return [
            TaskChange(run.dag_id, run.run_id, replace(task, seen=self._clock()))
            for run in self.runs.values()
            for task in run.tasks.values()
            if task.at >= since and run.run_id.startswith("mljob.")
        ]

    async def active_runs(self) -> set[str]:
        """Queued and running ones."""
        self._asked("active_runs")
        return {run.run_id for run in self.runs.values() if run.state not in TERMINAL_RUN}

    async def paused_dags(self) -> set[str]:
        """Paused DAGs."""
        self._asked("paused_dags")
        return set(self.paused)

    # What happens in Airflow

    def only_run(self, dag_id: str = "train") -> FakeRun:
        """The one run of a DAG."""
        (run,) = [run for run in self.runs.values() if run.dag_id == dag_id]
        return run

    def begin(self, run: FakeRun) -> None:
        """The scheduler starts the run."""
        run.state, run.start, run.changed = RunState.RUNNING, self._clock(), self._clock()

    def end(self, run: FakeRun, state: RunState) -> None:
        """The scheduler ends it."""
        run.state, run.end, run.changed = state, self._clock(), self._clock()

    def set_task(
        self, run: FakeRun, task_id: str, state: TaskState, *, map_index: int = -1, try_number: int = 1
    ) -> None:
        """A task instance changes."""
        now = self._clock()
        run.tasks[task_id, map_index] = TaskFact(
            task_id, map_index, try_number, state, StatusSource.REST, now, now, start=now
        )

    def _fact(self, run: FakeRun) -> RunFact:
        now = self._clock()
        return RunFact(run.state, StatusSource.REST, now, now, start=run.start, end=run.end, created=run.created)

    def _asked(self, call: str) -> None:
        self.calls.append(call)
        if self.down:
            raise AirflowUnavailable("Airflow is down")


class FakeJobs:
    """MLJobs in memory, with resource versions and optimistic concurrency.

    Attributes:
        objects: As the apiserver would send them.
        notices: Events by MLJob name.
        overtake: How many status writes are overtaken by somebody else's change.
        on_change: Told of every new version, as a watch would be.
    """

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.notices: list[tuple[str, Notice]] = []
        self.patches: list[dict[str, Any]] = []
        self.overtake = 0
        self.fail: Exception | None = None
        self.refuse_events = False
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def create(self, name: str, spec: Mapping[str, Any], namespace: str = "team-a") -> Job:
        """As ``kubectl apply`` would."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": f"uid-{next(self._uids)}",
                "generation": 1,
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": dict(spec),
        }
        self.objects[namespace, name] = body
        return Job.from_object(deepcopy(body))

    def edit(self, key: Key, spec: Mapping[str, Any]) -> Job:
        """A user changes the spec."""
        body = self.objects[key]
        body["spec"] |= spec
        body["metadata"]["generation"] += 1
        self._touch(body)
        return Job.from_object(deepcopy(body))

    def delete(self, key: Key, at: datetime) -> Job | None:
        """A user deletes it; None when it is gone at once."""
        body = self.objects[key]
        if not body["metadata"].get("finalizers"):
            del self.objects[key]
            return None
        body["metadata"]["deletionTimestamp"] = at.isoformat()
        body["metadata"]["generation"] += 1
        self._touch(body)
        return Job.from_object(deepcopy(body))

    # JobStore

    async def list(self) -> list[Job]:
        """All."""
        return [Job.from_object(deepcopy(body)) for body in self.objects.values()]

    async def get(self, key: Key) -> Job | None:
        """One."""
        body = self.objects.get(key)
        return Job.from_object(deepcopy(body)) if body else None

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """A merge patch of exactly this version."""
        body = self._exactly(job)
        body["status"] = _merged(body.get("status", {}), patch)
        self.patches.append(deepcopy(dict(patch)))
        self._touch(body)
        return Job.from_object(deepcopy(body))

    async def set_finalizer(self, job: Job, *, present: bool) -> Job | None:
        """Ours, and nobody else's."""
        try:
            body = self._exactly(job)
        except Gone:
            return None
        finalizers = [name for name in body["metadata"].get("finalizers", []) if name != FINALIZER]
        body["metadata"]["finalizers"] = [*finalizers, FINALIZER] if present else finalizers
        self._touch(body)
        if "deletionTimestamp" in body["metadata"] and not body["metadata"]["finalizers"]:
            del self.objects[job.key]
            return None
        return Job.from_object(deepcopy(body))

    async def record(self, job: Job, notice: Notice) -> None:
        """Kept for the test to look at."""
        if self.refuse_events:
            raise StoreError("the namespace is being terminated")
        self.notices.append((job.name, notice))

    def _exactly(self, job: Job) -> dict[str, Any]:
        if self.fail is not None:
            raise self.fail
        body = self.objects.get(job.key)
        if body is None or body["metadata"]["uid"] != job.uid:
            raise Gone(job.name)
        if self.overtake:
            self.overtake -= 1
            body["metadata"].setdefault("labels", {})["overtaken"] = str(self.overtake)
            self._touch(body)
        if body["metadata"]["resourceVersion"] != job.resource_version:
            raise Conflict(job.name)
        return body

    def _touch(self, body: dict[str, Any]) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
