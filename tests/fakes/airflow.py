from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from mljob_contract.airflow_instance import InstanceHealth
from mljob_contract.mljob import OutputSource, StatusSource
from mljob_operator.core.mljob.identity import cancel_run_id
from mljob_operator.core.run.children import Child
from mljob_operator.core.run.facts import Question, RunFact, TaskFact, TaskKey
from mljob_operator.core.run.halt import Halt
from mljob_operator.core.run.log_lines import LogEntry
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.run.states import ACTIVE_TASK, FINISHED_TASK, TERMINAL_RUN, RunState, TaskState
from mljob_operator.errors import (
    AirflowUnauthorized,
    AirflowUnavailable,
    DagNotFound,
    DagRefused,
    LogicalDateTaken,
    NothingToClear,
    ValidationFailed,
)
from mljob_operator.ports import Clock, DagTask, ProbeResult, RunChange, RunInputs, TaskChange

from .backfills import FakeBackfills

T = TypeVar("T")

CANCEL_DAG = "mljob_cancel"
LOG_HEADER = ("::group::Log message source details", "/opt/airflow/logs/dag_id=train/attempt=1.log", "::endgroup::")
"""The header in which Airflow names the source of a log."""
_FAILED = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)


@dataclass
class FakeRun:
    dag_id: str
    run_id: str
    conf: dict[str, Any]
    state: RunState
    queued_at: datetime
    changed: datetime
    start: datetime | None = None
    end: datetime | None = None
    tasks: dict[tuple[str, int], TaskFact] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    date: datetime | None = None
    backfill: int | None = None
    questions: dict[TaskKey, str] = field(default_factory=dict)
    note: str | None = None
    children: list[Child] = field(default_factory=list)
    logs: dict[tuple[str, int, int], list[Any]] = field(default_factory=dict)


class FakeLog:
    def __init__(self, entries: Sequence[Any], token: str | None) -> None:
        self._entries = list(entries)
        self._token = token
        self.token: str | None = None
        self.closed = False

    async def read(self, convert: Callable[[LogEntry], T]) -> Sequence[T] | None:
        entries, self._entries = self._entries, []
        if not entries:
            self.token = self._token
            return None
        return [convert(LogEntry(entry, len(str(entry)))) for entry in entries]

    def close(self) -> None:
        self.closed = True


class FakeUser:
    """Sends requests to a :class:`FakeAirflow` with the login of another user than the operator's. A
    FakeUser has the methods of FakeAirflow.

    Attributes:
        locked: Whether Airflow refuses the user's login.
        calls: The names of the requests with the user's login, in order.
    """

    def __init__(self, airflow: FakeAirflow, *, locked: bool) -> None:
        self._airflow = airflow
        self.locked = locked
        self.calls: list[str] = []

    @property
    def cancelling(self) -> FakeUser:
        return self

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._airflow, name)
        if not iscoroutinefunction(found) or name == "close":
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if self.locked:
                raise AirflowUnauthorized("Airflow refused the login")
            return await found(*args, **kwargs)

        return call


class FakeAirflow:
    """An Airflow in memory. Tests can also change its runs directly, as Airflow's scheduler and
    users do.

    Attributes:
        dags: The task ids of each DAG, by DAG id.
        required: The names of the params that a conf must contain, by DAG id.
        stale: The ids of DAGs that are in no file any more.
        daily: The ids of DAGs with a daily schedule.
        runs: The runs, by DAG id and run id.
        locked: Whether Airflow refuses all logins.
        down_for: How many of the next requests fail without an effect, by the name of the request.
        time_out: How many of the next requests get no answer and have no effect, by the name of the
            request. As far as the operator knows, these requests may have had an effect.
        before: Functions by the name of a request. A function is called once, at the start of the
            next request with this name.
        lose_answers: How many of the next calls of :meth:`submit` and :meth:`clear_failed`, in
            total, take effect, but raise AirflowUnavailable.
        denies: How many of the next calls of :meth:`get`, :meth:`clear_failed` and
            :meth:`.FakeBackfills.find`, in total, return None, although the run or backfill exists.
        calls: The names of all requests, in order.
        resumed: How often :meth:`resume` was called.
    """

    def __init__(self, clock: Clock, dags: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._clock = clock
        self.dags = {"train": ("extract", "fit"), "days": ("work",), CANCEL_DAG: ("cancel",), **(dags or {})}
        self.required: dict[str, tuple[str, ...]] = {}
        self.dag_params: dict[str, dict[str, Any]] = {}
        self.paused: set[str] = set()
        self.stale: set[str] = set()
        self.daily: set[str] = {"days"}
        self.backfills = FakeBackfills(self, clock)
        self.runs: dict[tuple[str, str], FakeRun] = {}
        self.down = False
        self.locked = False
        self.version = "3.3.2"
        self.unhealthy: set[str] = set()
        self.unreadable_sources: list[str] = []
        """Entries of the header of each log, about sources that can't be read."""
        self.down_for: dict[str, int] = {}
        self.time_out: dict[str, int] = {}
        self.before: dict[str, Callable[[], object]] = {}
        self.lose_answers = 0
        self.denies = 0
        self.calls: list[str] = []
        self.resumed = 0
        self.clock_offset = timedelta(0)
        self.rows_read = 0

    @property
    def cancelling(self) -> FakeAirflow:
        return self

    # DagRuns

    async def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        self.asked("submit")
        if dag_id not in self.dags:
            raise DagNotFound(f"no DAG {dag_id}", get_close_matches(dag_id, self.dags))
        if missing := [name for name in self.required.get(dag_id, ()) if name not in conf]:
            raise ValidationFailed(f"Invalid input for param {missing[0]}")
        run = self.runs.get((dag_id, run_id))
        if run is None and (other := self.of_date(dag_id, logical_date)) is not None:
            raise LogicalDateTaken(f"DAG {dag_id!r} has run {other.run_id} of that date")
        run = run or self.queue(dag_id, run_id, conf, note, logical_date)
        if self.lose_answers:
            self.lose_answers -= 1
            raise AirflowUnavailable("the answer was lost", outcome_unknown=True)
        return self.fact(run)

    async def params(self, dag_id: str) -> dict[str, Any] | None:
        self.asked("params")
        return dict(self.dag_params.get(dag_id, {})) if dag_id in self.dags else None

    async def inputs(self, dag_id: str, run_id: str) -> RunInputs:
        self.asked("inputs")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            raise ValidationFailed(f"no run {run_id}")
        return RunInputs(dict(run.conf), run.date)

    async def clear_failed(
        self, dag_id: str, run_id: str, *, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        self.asked("clear_failed")
        run = self._seen(dag_id, run_id)
        if run is None:
            return None
        again = since is not None and run.queued_at >= since
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
        self.asked("get")
        run = self._seen(dag_id, run_id)
        return self.fact(run) if run else None

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        self.asked("tasks")
        run = self.runs.get((dag_id, run_id))
        return [replace(task, observed_at=self._clock()) for task in run.tasks.values()] if run else []

    async def structure(self, dag_id: str) -> list[DagTask]:
        self.asked("structure")
        ids = self.dags.get(dag_id, ())
        return [DagTask(task_id, task_id, "PythonOperator", ids[at + 1 : at + 2]) for at, task_id in enumerate(ids)]

    async def open_log(
        self, dag_id: str, run_id: str, task: TaskKey, try_number: int, token: str | None = None
    ) -> FakeLog | None:
        self.asked("open_log")
        found = self.log(dag_id, run_id, task, try_number, int(token) if token is not None else None)
        return FakeLog(*found) if found is not None else None

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        self.asked("questions")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            return {}
        return {
            key: Question(run.tasks[key].try_number, subject)
            for key, subject in run.questions.items()
            if run.tasks[key].awaits_input
        }

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        self.asked("outputs")
        run = self.runs.get((dag_id, run_id))
        if run is None:
            return Outputs({})
        named = {source.name: run.xcoms.get((source.task_id, source.key)) for source in sources}
        return Outputs(run.outputs | {name: value for name, value in named.items() if value is not None})

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        self.asked("trigger_cancellation")
        if CANCEL_DAG not in self.dags or CANCEL_DAG in self.paused:
            raise DagRefused("the cancellation DAG can't run")
        await self.submit(CANCEL_DAG, cancel_run_id(run_id), {"dag_id": dag_id, "dag_run_id": run_id}, reason)

    async def is_cancelling(self, run_id: str) -> bool:
        self.asked("is_cancelling")
        run = self.runs.get((CANCEL_DAG, cancel_run_id(run_id)))
        return run is not None and any(task.state in ACTIVE_TASK for task in run.tasks.values())

    async def cancel(self, dag_id: str, run_id: str) -> None:
        self.asked("cancel")
        if (run := self.runs.get((dag_id, run_id))) is not None and run.state not in TERMINAL_RUN:
            now = self._clock()
            for key, task in run.tasks.items():
                if task.state not in FINISHED_TASK:
                    run.tasks[key] = replace(task, state=TaskState.FAILED, occurred_at=now, observed_at=now, end=now)
            self.end(run, RunState.FAILED)

    async def children(self, dag_id: str, run_id: str) -> list[Child]:
        self.asked("children")
        run = self.runs.get((dag_id, run_id))
        claimed = run.children if run is not None else []
        return [
            child
            for child in claimed
            if (there := self.runs.get((child.dag_id, child.run_id))) is not None and there.state not in TERMINAL_RUN
        ]

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        self.asked("set_note")
        if (run := self.runs.get((dag_id, run_id))) is not None:
            run.note, run.changed = note, self._clock()

    async def drop_cancellation(self, run_id: str) -> None:
        self.asked("drop_cancellation")
        run = self.runs.get((CANCEL_DAG, cancel_run_id(run_id)))
        if run is not None and run.state is RunState.QUEUED:
            self.end(run, RunState.FAILED)

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        self.asked("changed_runs")
        changed = {(run.dag_id, run.run_id) for run in self.runs.values() if run.changed >= since}
        return self.counted([change for change in self._ours() if (change.dag_id, change.run_id) in changed])

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        self.asked("changed_tasks")
        return self.counted(
            [
                TaskChange(run.dag_id, run.run_id, replace(task, observed_at=self._clock()))
                for run in self.runs.values()
                for task in run.tasks.values()
                if task.occurred_at >= since and run.run_id.startswith("mljob.")
            ]
        )

    def counted(self, rows: list[T]) -> list[T]:
        self.rows_read += len(rows)
        return rows

    async def active_runs(self) -> list[RunChange]:
        self.asked("active_runs")
        return [change for change in self._ours() if change.fact.state not in TERMINAL_RUN]

    def _ours(self) -> list[RunChange]:
        return [
            RunChange(run.dag_id, run.run_id, self.fact(run), run.note)
            for run in self.runs.values()
            if run.run_id.startswith("mljob.")
        ]

    async def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        self.asked("halts")
        return {
            dag_id: Halt.STALE if dag_id in self.stale else Halt.PAUSED if dag_id in self.paused else None
            for dag_id in dag_ids
        }

    async def paused_dags(self) -> set[str]:
        self.asked("paused_dags")
        return set(self.paused)

    async def probe(self) -> ProbeResult:
        self.asked("probe")
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        health = {part: "unhealthy" if part in self.unhealthy else "healthy" for part in parts}
        return ProbeResult(self.version, InstanceHealth(**health))

    def resume(self) -> None:
        self.resumed += 1

    async def close(self) -> None: ...

    # Changes in Airflow

    def log(
        self, dag_id: str, run_id: str, task: TaskKey, number: int, begin: int | None
    ) -> tuple[list[Any], str | None] | None:
        """Return two values: the entries of a try's log from the index ``begin`` on, and the number
        of entries in the log as text. If ``begin`` is None, the first value consists of the entries
        of the log's header and then all entries of the log. The second value is None if the try is
        neither running nor deferred. If the try does not exist, return None instead of the two
        values.
        """
        run = self.runs.get((dag_id, run_id))
        fact = run.tasks.get(task) if run is not None else None
        if run is None or fact is None or number > fact.try_number:
            return None
        entries = run.logs.get((*task, number), [])
        sources = (LOG_HEADER[0], *self.unreadable_sources, *LOG_HEADER[1:])
        header = [] if begin is not None else [{"event": text, "timestamp": None} for text in sources]
        runs = fact.try_number == number and fact.state in (TaskState.RUNNING, TaskState.DEFERRED)
        return [*header, *entries[begin or 0 :]], str(len(entries)) if runs else None

    def write(self, run: FakeRun, task_id: str, *entries: Any, map_index: int = -1, try_number: int = 1) -> None:
        log = run.logs.setdefault((task_id, map_index, try_number), [])
        now = self._clock().isoformat()
        log += [
            {"timestamp": now, "event": entry, "level": "info"} if isinstance(entry, str) else entry
            for entry in entries
        ]

    def _seen(self, dag_id: str, run_id: str) -> FakeRun | None:
        run = self.runs.get((dag_id, run_id))
        return run if run is not None and not self.denied() else None

    def denied(self) -> bool:
        if self.denies > 0:
            self.denies -= 1
            return True
        return False

    def of_date(self, dag_id: str, date: datetime | None) -> FakeRun | None:
        runs = (run for run in self.runs.values() if run.dag_id == dag_id)
        return next((run for run in runs if date is not None and run.date == date), None)

    def queue(
        self,
        dag_id: str,
        run_id: str,
        conf: Mapping[str, Any],
        note: str | None = None,
        date: datetime | None = None,
    ) -> FakeRun:
        now = self._clock()
        run = FakeRun(
            dag_id, run_id, dict(conf), RunState.QUEUED, queued_at=now, changed=now, note=note or None, date=date
        )
        run.tasks = {
            (task_id, -1): TaskFact(task_id, -1, 0, TaskState.NONE, StatusSource.REST, now, now)
            for task_id in self.dags[dag_id]
        }
        self.runs[dag_id, run_id] = run
        return run

    def only_run(self, dag_id: str = "train") -> FakeRun:
        (run,) = [run for run in self.runs.values() if run.dag_id == dag_id]
        return run

    def begin(self, run: FakeRun) -> None:
        run.state, run.start, run.changed = RunState.RUNNING, self._clock(), self._clock()

    def end(self, run: FakeRun, state: RunState) -> None:
        run.state, run.end, run.changed = state, self._clock(), self._clock()

    def clear(self, run: FakeRun, *keys: tuple[str, int]) -> None:
        now = self._clock()
        for key in keys or tuple(run.tasks):
            task = run.tasks[key]
            run.tasks[key] = replace(task, state=TaskState.NONE, occurred_at=now, observed_at=now, start=None, end=None)
        run.queued_at = run.changed = now
        if run.state in TERMINAL_RUN:
            run.state, run.start, run.end = RunState.QUEUED, now, None

    def set_task(
        self, run: FakeRun, task_id: str, state: TaskState, *, map_index: int = -1, try_number: int = 1
    ) -> None:
        now = self._clock()
        run.tasks[task_id, map_index] = TaskFact(
            task_id, map_index, try_number, state, StatusSource.REST, now, now, start=now
        )

    def fact(self, run: FakeRun) -> RunFact:
        now = self._clock()
        return RunFact(run.state, StatusSource.REST, now, now, start=run.start, end=run.end, queued_at=run.queued_at)

    def asked(self, call: str) -> None:
        """Record a request, and call the function that ``before`` has for the request. Then raise
        AirflowUnavailable if ``down`` is True, or if the number in ``down_for`` for the request is
        positive. Also raise AirflowUnavailable, with ``outcome_unknown`` set, if the number in
        ``time_out`` is positive. Otherwise raise AirflowUnauthorized if ``locked`` is True.
        """
        self.calls.append(call)
        self.before.pop(call, lambda: None)()
        if self.down_for.get(call, 0) > 0:
            self.down_for[call] -= 1
            raise AirflowUnavailable(f"Airflow is down for {call}")
        if self.time_out.get(call, 0) > 0:
            self.time_out[call] -= 1
            raise AirflowUnavailable(f"Airflow did not answer {call}", outcome_unknown=True)
        if self.down:
            raise AirflowUnavailable("Airflow is down")
        if self.locked:
            raise AirflowUnauthorized("Airflow refused the login")
