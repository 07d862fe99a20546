"""The world in memory, for unit tests: small, and held to the same suite as the real thing (``tests/contract``).

Faults are made here that the real parts can't be made to show on demand: an answer that is lost after the request took effect, a
write that somebody else overtakes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mljob_contract import airflow_instance
from mljob_contract.airflow_instance import InstanceHealth
from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import (
    API_VERSION,
    FINALIZER,
    KIND,
    UNOBSERVED,
    ConfSource,
    OutputSource,
    ReprocessBehavior,
    StatusSource,
)
from mljob_operator.core.backfill import Backfill, Member, Order
from mljob_operator.core.conf import Source
from mljob_operator.core.facts import Question, RunFact, TaskFact, TaskKey
from mljob_operator.core.identity import cancel_run_id
from mljob_operator.core.instance import Instance
from mljob_operator.core.job import Job, Key
from mljob_operator.core.notices import Notice
from mljob_operator.core.phases import ACTIVE_TASK, FINISHED_TASK, TERMINAL_RUN, RunState, TaskState
from mljob_operator.errors import (
    AirflowUnauthorized,
    AirflowUnavailable,
    BackfillActive,
    Conflict,
    DagNotFound,
    DagRefused,
    Gone,
    NothingToClear,
    ReferenceMissing,
    StoreError,
    ValidationFailed,
)
from mljob_operator.ports import MemberChange, Pulse, RunChange, TaskChange

CANCEL_DAG = "mljob_cancel"
_FAILED = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)


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
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    date: datetime | None = None
    backfill: int | None = None
    questions: dict[TaskKey, str] = field(default_factory=dict)


class FakeAirflow:
    """Airflow's dag runs, in memory.

    Attributes:
        dags: Task ids by DAG id; what is not here is unknown.
        required: Names that a DAG's conf must have, or Airflow refuses it.
        dag_params: Params by DAG id.
        paused: DAGs that are paused.
        daily: DAGs that have a schedule.
        down: Whether requests get no answer.
        locked: Whether it refuses the credentials.
        unhealthy: Its parts that are not well.
        down_for: How many requests of a kind get none.
        lose_answers: How many submissions take effect without an answer.
        calls: What was asked, in sequence.
    """

    def __init__(self, clock: FakeClock | Any, dags: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._clock = clock
        self.dags = {"train": ("extract", "fit"), "days": ("work",), CANCEL_DAG: ("cancel",), **(dags or {})}
        self.required: dict[str, tuple[str, ...]] = {}
        self.dag_params: dict[str, dict[str, Any]] = {}
        self.paused: set[str] = set()
        self.daily: set[str] = {"days"}
        self.backfills = FakeBackfills(self, clock)
        self.runs: dict[tuple[str, str], FakeRun] = {}
        self.down = False
        self.locked = False
        self.unhealthy: set[str] = set()
        self.down_for: dict[str, int] = {}
        self.lose_answers = 0
        self.calls: list[str] = []
        self.clock_offset = timedelta(0)

    # DagRuns

    async def submit(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> RunFact:
        """As Airflow: 404 for an unknown DAG, 400 for a conf that doesn't fit, 409 adopts."""
        self.asked("submit")
        if dag_id not in self.dags:
            raise DagNotFound(f"no DAG {dag_id}")
        if missing := [name for name in self.required.get(dag_id, ()) if name not in conf]:
            raise ValidationFailed(f"Invalid input for param {missing[0]}")
        run = self.runs.get((dag_id, run_id)) or self.queue(dag_id, run_id, conf)
        if self.lose_answers:
            self.lose_answers -= 1
            raise AirflowUnavailable("the answer was lost", outcome_unknown=True)
        return self.fact(run)

    async def params(self, dag_id: str) -> dict[str, Any]:
        """The DAG's."""
        self.asked("params")
        return dict(self.dag_params.get(dag_id, {}))

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run's."""
        self.asked("conf")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            raise ValidationFailed(f"no run {run_id}")
        return dict(run.conf)

    async def clear_failed(self, dag_id: str, run_id: str, *, since: datetime | None) -> RunFact:
        """The failed tasks again."""
        self.asked("clear_failed")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            raise NothingToClear(run_id)
        again = since is not None and run.created >= since
        if not again and run.state in TERMINAL_RUN:
            failed = [key for key, task in run.tasks.items() if task.state in _FAILED]
            if not failed:
                raise NothingToClear(run_id)
            self.clear(run, *failed)
        if self.lose_answers:
            self.lose_answers -= 1
            raise AirflowUnavailable("the answer was lost", outcome_unknown=True)
        return self.fact(run)

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """One run."""
        self.asked("get")
        run = self.runs.get((dag_id, run_id))
        return self.fact(run) if run else None

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """Its task instances."""
        self.asked("tasks")
        run = self.runs.get((dag_id, run_id))
        return [replace(task, seen=self._clock()) for task in run.tasks.values()] if run else []

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """What its waiting tasks ask."""
        self.asked("questions")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            return {}
        return {
            key: Question(run.tasks[key].try_number, subject)
            for key, subject in run.questions.items()
            if run.tasks[key].awaits_input
        }

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> dict[str, Any]:
        """What its tasks published, and what is asked for."""
        self.asked("outputs")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            return {}
        named = {source.name: run.xcoms.get((source.task_id, source.key)) for source in sources}
        return run.outputs | {name: value for name, value in named.items() if value is not None}

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """The cancellation DAG does its work at once, unless it is paused or missing."""
        self.asked("trigger_cancellation")
        if CANCEL_DAG not in self.dags or CANCEL_DAG in self.paused:
            raise DagRefused("the cancellation DAG can't run")
        await self.submit(CANCEL_DAG, cancel_run_id(run_id), {"dag_id": dag_id, "dag_run_id": run_id}, reason)

    async def cancellation_runs(self, run_id: str) -> bool:
        """Whether the cancellation DAG is at it."""
        self.asked("cancellation_runs")
        run = self.runs.get((CANCEL_DAG, cancel_run_id(run_id)))
        return run is not None and any(task.state in ACTIVE_TASK for task in run.tasks.values())

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Fail what is unfinished."""
        self.asked("cancel")
        if (run := self.runs.get((dag_id, run_id))) is not None and run.state not in TERMINAL_RUN:
            now = self._clock()
            for key, task in run.tasks.items():
                if task.state not in FINISHED_TASK:
                    run.tasks[key] = replace(task, state=TaskState.FAILED, at=now, seen=now, end=now)
            self.end(run, RunState.FAILED)

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """The change feed."""
        self.asked("changed_runs")
        changed = {run.run_id for run in self.runs.values() if run.changed >= since}
        return [change for change in self._ours() if change.run_id in changed]

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """The change feed."""
        self.asked("changed_tasks")
        return [
            TaskChange(run.dag_id, run.run_id, replace(task, seen=self._clock()))
            for run in self.runs.values()
            for task in run.tasks.values()
            if task.at >= since and run.run_id.startswith("mljob.")
        ]

    async def active_runs(self) -> list[RunChange]:
        """Queued and running ones."""
        self.asked("active_runs")
        return [change for change in self._ours() if change.fact.state not in TERMINAL_RUN]

    def _ours(self) -> list[RunChange]:
        return [
            RunChange(run.dag_id, run.run_id, self.fact(run))
            for run in self.runs.values()
            if run.run_id.startswith("mljob.")
        ]

    async def paused_dags(self) -> set[str]:
        """Paused DAGs."""
        self.asked("paused_dags")
        return set(self.paused)

    async def probe(self) -> Pulse:
        """It is what it is said to be."""
        self.asked("probe")
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        health = {part: "unhealthy" if part in self.unhealthy else "healthy" for part in parts}
        return Pulse("3.3.2", InstanceHealth(**health))

    async def close(self) -> None:
        """Nothing is under way."""

    # What happens in Airflow

    def queue(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> FakeRun:
        """There is a new run."""
        now = self._clock()
        run = FakeRun(dag_id, run_id, dict(conf), RunState.QUEUED, created=now, changed=now)
        run.tasks = {
            (task_id, -1): TaskFact(task_id, -1, 0, TaskState.NONE, StatusSource.REST, now, now)
            for task_id in self.dags[dag_id]
        }
        self.runs[dag_id, run_id] = run
        return run

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

    def clear(self, run: FakeRun, *keys: tuple[str, int]) -> None:
        """Somebody clears tasks: they are to run again, and the run with them if it had ended."""
        now = self._clock()
        for key in keys or tuple(run.tasks):
            task = run.tasks[key]
            run.tasks[key] = replace(task, state=TaskState.NONE, at=now, seen=now, start=None, end=None)
        run.created = run.changed = now
        if run.state in TERMINAL_RUN:
            run.state, run.start, run.end = RunState.QUEUED, now, None

    def set_task(
        self, run: FakeRun, task_id: str, state: TaskState, *, map_index: int = -1, try_number: int = 1
    ) -> None:
        """A task instance changes."""
        now = self._clock()
        run.tasks[task_id, map_index] = TaskFact(
            task_id, map_index, try_number, state, StatusSource.REST, now, now, start=now
        )

    def fact(self, run: FakeRun) -> RunFact:
        """As REST tells it."""
        now = self._clock()
        return RunFact(run.state, StatusSource.REST, now, now, start=run.start, end=run.end, created=run.created)

    def asked(self, call: str) -> None:
        """A request arrives."""
        self.calls.append(call)
        if self.down_for.get(call, 0) > 0:
            self.down_for[call] -= 1
            raise AirflowUnavailable(f"Airflow is down for {call}")
        if self.down:
            raise AirflowUnavailable("Airflow is down")
        if self.locked:
            raise AirflowUnauthorized("Airflow refused the login")


class FakeBackfills:
    """The fake Airflow's backfills, of DAGs that run daily.

    Attributes:
        made: By their ids.
        lose_answers: How many creations take effect without an answer.
    """

    def __init__(self, airflow: FakeAirflow, clock: FakeClock | Any) -> None:
        self._airflow = airflow
        self._clock = clock
        self.made: dict[int, Backfill] = {}
        self.lose_answers = 0

    # Backfills

    async def create(self, dag_id: str, marker: Marker, order: Order) -> Backfill:
        """As Airflow: 404, 422 without a schedule, 409 while another one is active."""
        self._airflow.asked("create_backfill")
        if (there := self._found(dag_id, marker.run_id, marker.attempt)) is not None:
            return there
        if dag_id not in self._airflow.dags:
            raise DagNotFound(f"no DAG {dag_id}")
        if dag_id not in self._airflow.daily:
            raise ValidationFailed(f"{dag_id} has a non-periodic schedule that does not support backfills")
        if active := [made for made in self.made.values() if made.dag_id == dag_id and made.completed is None]:
            raise BackfillActive(f"backfill {active[0].id} is in progress")
        if not self._dates(order):
            raise ValidationFailed("Backfill cannot be executed for future dates.")
        backfill = self.make(dag_id, marker, order)
        if self.lose_answers:
            self.lose_answers -= 1
            raise AirflowUnavailable("the answer was lost", outcome_unknown=True)
        return backfill

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """The newest with this marker."""
        self._airflow.asked("find_backfill")
        return self._found(dag_id, run_id, attempt)

    async def survey(self, backfill: Backfill) -> tuple[Member, ...]:
        """Runs with its marker."""
        self._airflow.asked("backfill_runs")
        assert backfill.marker is not None
        members = (self._member(run) for run in self._airflow.runs.values() if run.backfill is not None)
        return tuple(change.member for change in members if change and change.marker.run_id == backfill.marker.run_id)

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """Other runs of its range."""
        self._airflow.asked("backfill_range")
        in_range = [
            run
            for run in self._airflow.runs.values()
            if run.dag_id == backfill.dag_id and run.date is not None and backfill.start <= run.date <= backfill.end
        ]
        return max(0, len(in_range) - members)

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """No other run starts."""
        self._airflow.asked("pause_backfill")
        if self.made[backfill_id].completed is None:
            self.set(backfill_id, paused=paused)

    async def cancel(self, backfill_id: int) -> None:
        """Its queued runs fail, and it is closed."""
        self._airflow.asked("cancel_backfill")
        if self.made[backfill_id].completed is None:
            for run in self.runs(backfill_id):
                if run.state is RunState.QUEUED:
                    self._airflow.end(run, RunState.FAILED)
            self.set(backfill_id, paused=True, completed=self._clock())

    async def changed(self, since: datetime) -> list[MemberChange]:
        """The change feed."""
        self._airflow.asked("changed_backfill_runs")
        changed = [run for run in self._airflow.runs.values() if run.backfill is not None and run.changed >= since]
        return [change for run in changed if (change := self._member(run)) is not None]

    # What happens in Airflow

    def make(self, dag_id: str, marker: Marker | None, order: Order) -> Backfill:
        """There is a new backfill, with its runs."""
        conf = {**order.conf, **(marker.as_conf() if marker else {})}
        number = len(self.made) + 1
        backfill = Backfill(
            number,
            dag_id,
            marker,
            order.start,
            order.end,
            dict(order.conf),
            order.reprocess,
            order.max_active_runs,
            paused=False,
            created=self._clock(),
        )
        self.made[number] = backfill
        for date in self._dates(order):
            there = next((r for r in self._airflow.runs.values() if (r.dag_id, r.date) == (dag_id, date)), None)
            if there is None:
                there = self._airflow.queue(dag_id, f"backfill__{date.isoformat()}", conf)
                there.date = date
            elif (there.state is RunState.FAILED and order.reprocess is not ReprocessBehavior.NONE) or (
                there.state is RunState.SUCCESS and order.reprocess is ReprocessBehavior.COMPLETED
            ):
                self._airflow.clear(there)
            else:
                continue
            there.backfill, there.conf = number, conf
        return backfill

    def runs(self, backfill_id: int) -> list[FakeRun]:
        """A backfill's, by date."""
        found = [run for run in self._airflow.runs.values() if run.backfill == backfill_id]
        return sorted(found, key=lambda run: (run.date, run.run_id))

    def close(self, backfill_id: int) -> None:
        """The scheduler has seen that all of its runs have ended."""
        self.set(backfill_id, completed=self._clock())

    def set(self, backfill_id: int, **change: Any) -> None:
        """A backfill changes."""
        self.made[backfill_id] = replace(self.made[backfill_id], **change)

    def _dates(self, order: Order) -> list[datetime]:
        days = (order.end - order.start).days
        dates = [order.start + timedelta(days=day) for day in range(days + 1)]
        return [date for date in dates if date < self._clock()]

    def _found(self, dag_id: str, run_id: str, attempt: int | None) -> Backfill | None:
        for made in reversed(self.made.values()):
            ours = made.dag_id == dag_id and made.marker is not None and made.marker.run_id == run_id
            if ours and made.marker is not None and attempt in (None, made.marker.attempt):
                return made
        return None

    def _member(self, run: FakeRun) -> MemberChange | None:
        marker = Marker.read(run.conf)
        if marker is None:
            return None
        member = Member(run.run_id, self._airflow.fact(run), run.date, marker.attempt)
        return MemberChange(run.dag_id, marker, member)


class FakeJobs:
    """MLJobs in memory, with resource versions and optimistic concurrency.

    Attributes:
        objects: As the apiserver would send them.
        notices: Events by MLJob name.
        reads: How many times one was read.
        overtake: How many status writes are overtaken by somebody else's change.
        data: ConfigMaps' and Secrets' data, by kind and name.
    """

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.notices: list[tuple[str, Notice]] = []
        self.patches: list[dict[str, Any]] = []
        self.data: dict[tuple[str, str], dict[str, str]] = {}
        self.reads = 0
        self.overtake = 0
        self.fail: Exception | None = None
        self.refuse_events = False
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def create(
        self, name: str, spec: Mapping[str, Any], namespace: str = "team-a", at: str = "2026-01-01T00:00:00Z"
    ) -> Job:
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
                "creationTimestamp": at,
            },
            "spec": dict(spec),
            "status": dict(UNOBSERVED),
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

    def user_deletes(self, key: Key, at: datetime) -> Job | None:
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
        self.reads += 1
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

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """A ConfigMap or a Secret."""
        named = reference.secret_ref or reference.config_map_ref
        assert named is not None
        kind = "Secret" if reference.secret_ref else "ConfigMap"
        data = self.data.get((kind, named.name))
        if data is None and not named.optional:
            raise ReferenceMissing(f"{kind} {named.name} is not there")
        return Source(f"{kind} {named.name}", data, kind == "Secret") if data is not None else None

    async def delete(self, job: Job) -> None:
        """Somebody deletes exactly this version."""
        body = self._exactly(job)
        if body["metadata"].get("finalizers"):
            body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self._touch(body)
        else:
            del self.objects[job.key]

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


class FakeInstances:
    """AirflowInstances in memory, Secrets, and the labels of namespaces.

    Attributes:
        objects: As the apiserver would send them.
        secrets: Secrets' data, by name.
        labels: Of namespaces, by name.
        notices: Events by AirflowInstance name.
        patches: Of statuses.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.notices: list[tuple[str, Notice]] = []
        self.patches: list[dict[str, Any]] = []
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def create(
        self, name: str, spec: Mapping[str, Any], *, default: bool = False, at: str = "2026-01-01T00:00:00Z"
    ) -> Instance:
        """As ``kubectl apply`` would."""
        self.objects[name] = {
            "apiVersion": API_VERSION,
            "kind": airflow_instance.KIND,
            "metadata": {
                "name": name,
                "uid": f"uid-{next(self._uids)}",
                "generation": 1,
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": at,
                "annotations": {airflow_instance.IS_DEFAULT: "true"} if default else {},
            },
            "spec": dict(spec),
        }
        return self.get(name)

    def get(self, name: str) -> Instance:
        """As it is now."""
        return Instance.from_object(deepcopy(self.objects[name]))

    def edit(self, name: str, spec: Mapping[str, Any]) -> Instance:
        """A user changes the spec."""
        body = self.objects[name]
        body["spec"] |= spec
        body["metadata"]["generation"] += 1
        self._touch(body)
        return self.get(name)

    def annotate(self, name: str, *, default: bool) -> Instance:
        """A user makes it the default, or not."""
        body = self.objects[name]
        body["metadata"]["annotations"] = {airflow_instance.IS_DEFAULT: "true"} if default else {}
        self._touch(body)
        return self.get(name)

    def user_deletes(self, name: str) -> Instance | None:
        """A user deletes it; None when it is gone at once."""
        body = self.objects[name]
        if not body["metadata"].get("finalizers"):
            del self.objects[name]
            return None
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        body["metadata"]["generation"] += 1
        self._touch(body)
        return self.get(name)

    # InstanceStore

    async def list(self) -> list[Instance]:
        """All."""
        return [self.get(name) for name in self.objects]

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """Their labels."""
        return deepcopy(self.labels)

    async def secret(self, name: str) -> dict[str, str]:
        """A Secret."""
        if name not in self.secrets:
            raise ReferenceMissing(f"Secret {name} is not there")
        return dict(self.secrets[name])

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """A merge patch of exactly this version."""
        body = self._exactly(instance)
        body["status"] = _merged(body.get("status", {}), patch)
        self.patches.append(deepcopy(dict(patch)))
        self._touch(body)
        return self.get(instance.name)

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Ours, and nobody else's."""
        try:
            body = self._exactly(instance)
        except Gone:
            return None
        ours = airflow_instance.FINALIZER
        finalizers = [name for name in body["metadata"].get("finalizers", []) if name != ours]
        body["metadata"]["finalizers"] = [*finalizers, ours] if present else finalizers
        self._touch(body)
        if "deletionTimestamp" in body["metadata"] and not body["metadata"]["finalizers"]:
            del self.objects[instance.name]
            return None
        return self.get(instance.name)

    async def record(self, instance: Instance, notice: Notice) -> None:
        """Kept for the test to look at."""
        self.notices.append((instance.name, notice))

    def _exactly(self, instance: Instance) -> dict[str, Any]:
        body = self.objects.get(instance.name)
        if body is None or body["metadata"]["uid"] != instance.uid:
            raise Gone(instance.name)
        if body["metadata"]["resourceVersion"] != instance.resource_version:
            raise Conflict(instance.name)
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
