"""The runs and task instances of the simulated Airflow. The methods ``row`` return the JSON objects
of Airflow's REST API.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mljob_operator.core.run.states import FINISHED_TASK, TERMINAL_RUN, RunState, TaskState

Json = dict[str, Any]
TaskKey = tuple[str, int]
RunKey = tuple[str, str]
HEADER = ("::group::Log message source details", "/opt/airflow/logs/attempt=1.log", "::endgroup::")
"""The first lines of a log, in which Airflow names the file of the log."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def _line(at: datetime | None, event: str) -> Json:
    return {"timestamp": text(at), "event": event, "level": "info"}


def text(at: datetime | None) -> str | None:
    """Return a time as ISO 8601 text, with ``Z`` for UTC. For None, return None."""
    return at.isoformat().replace("+00:00", "Z") if at is not None else None


@dataclass(slots=True, eq=False)
class TaskInstance:
    """A task instance of a simulated run.

    Attributes:
        number: Lists of the REST API are sorted by this number. Later task instances have higher
            numbers.
        changed: The time of the last change of the state, or of the creation.
        written: The log lines from :meth:`write`, by try number. None if :meth:`write` was
            never called.
    """

    run: Run
    number: int
    task_id: str
    changed: datetime
    map_index: int = -1
    state: TaskState = TaskState.NONE
    try_number: int = 0
    start: datetime | None = None
    end: datetime | None = None
    written: dict[int, list[Json]] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINISHED_TASK

    def set(self, state: TaskState, at: datetime) -> None:
        """Set the state, and set ``changed`` to the time ``at``. A change to running begins the next
        try: ``start`` becomes ``at``, and ``end`` becomes None. With a final state, ``end`` becomes
        ``at``, and a missing ``start`` becomes ``at`` too.
        """
        if state is TaskState.RUNNING and self.state is not TaskState.RUNNING:
            self.try_number += 1
            self.start, self.end = at, None
        if state in FINISHED_TASK:
            self.end = at
            self.start = self.start or at
        self.state, self.changed = state, at

    def write(self, event: str) -> None:
        """Add a line to the log of the current try."""
        self.written = self.written or {}
        self.written.setdefault(self.try_number, []).append(_line(now(), event))

    def log(self, number: int) -> list[Json]:
        """Return the log of the try ``number``. If :meth:`write` was never called, return generated
        lines about the start and the end of the task.
        """
        if self.written is not None:
            return self.written.get(number, [])
        ends = [_line(self.end, f"{self.task_id} ends as {self.state}")] if self.is_finished else []
        return [_line(self.start, f"{self.task_id} begins"), *ends]

    def row(self) -> Json:
        """Return the JSON object that the REST API returns for the task instance."""
        return {
            "task_id": self.task_id,
            "dag_id": self.run.dag_id,
            "dag_run_id": self.run.run_id,
            "map_index": self.map_index,
            "start_date": text(self.start),
            "end_date": text(self.end),
            "state": None if self.state is TaskState.NONE else self.state.value,
            "try_number": self.try_number,
            "max_tries": 0,
            "operator": "_PythonDecoratedOperator",
        }


@dataclass(slots=True, eq=False)
class Run:
    """A run of a simulated DAG, with its task instances.

    Attributes:
        number: Lists of the REST API are sorted by this number. Later runs have higher numbers.
        changed: The time of the last change or of the creation.
        ended: The end of the run, in seconds of the monotonic clock. None before the end.
        xcoms: The values that tasks have pushed, by task id and key.
        generation: A counter of interventions, such as the clearing or the deletion of the run. The
            simulated scheduler drops the state changes that it planned before the last
            intervention.
    """

    dag_id: str
    run_id: str
    number: int
    conf: Json
    note: str | None
    date: datetime | None
    run_type: str
    queued_at: datetime
    changed: datetime
    state: RunState = RunState.QUEUED
    start: datetime | None = None
    end: datetime | None = None
    ended: float | None = None
    backfill: int | None = None
    generation: int = 0
    tasks: dict[TaskKey, TaskInstance] = field(default_factory=dict)
    xcoms: dict[RunKey, Any] = field(default_factory=dict)

    @property
    def key(self) -> RunKey:
        """The ids of the DAG and of the run."""
        return self.dag_id, self.run_id

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state in TERMINAL_RUN

    def row(self) -> Json:
        """Return the JSON object that the REST API returns for the run."""
        return {
            "dag_run_id": self.run_id,
            "dag_id": self.dag_id,
            "logical_date": text(self.date),
            "queued_at": text(self.queued_at),
            "start_date": text(self.start),
            "end_date": text(self.end),
            "run_type": self.run_type,
            "state": self.state.value,
            "conf": self.conf,
            "note": self.note,
        }
