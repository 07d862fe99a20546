"""The tasks of a run, one line each. A mapped task has one line for all its instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..text import plain
from . import fields, numbers, states, times
from .fields import Object

MAX_TASK_ID = 60
"""The maximum number of characters of a task's id on a line."""
MAX_ERROR = 500
"""The maximum number of characters of a task's error."""
_MAX_INDEXES = 8
_ENDED_WELL = ("success", "skipped")


@dataclass(frozen=True, slots=True)
class Task:
    """A task of an MLJob's run, read from the MLJob's status or from the graph of the run
    (:class:`~mljob_contract.graph.RunGraph`).

    Attributes:
        task_id: The id of the task in the DAG.
        state: Airflow's name of the task's state, or ``none``. For a mapped task, the most
            important state of the instances, for example ``failed`` if an instance failed.
        try_number: The number of the newest try, from 1, or 0 before the first try. For a mapped
            task, the highest try number among the instances.
        started_at: When the newest try started. For a mapped task, when the first instance started.
        ended_at: When the newest try ended. For a mapped task, when the last instance ended.
        progress: How much of the task is done, in percent, or None.
        metrics: The numbers that the task reported last.
        error: The type and the text of the task's exception, or an empty text.
        question: The question that the task asks a person, or an empty text.
        url: The URL of the page where a person answers ``question``. Without a question, the URL of
            the failed task's log, or an empty text.
        total: How many instances a mapped task has, or None for a task that is not mapped.
        done: How many instances of a mapped task succeeded or were skipped.
        failed: The map indexes of the first failed instances of a mapped task.
        failures: How many instances of a mapped task failed. This number may exceed the length of
            ``failed``.
    """

    task_id: str
    state: str = "none"
    try_number: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progress: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    question: str = ""
    url: str = ""
    total: int | None = None
    done: int = 0
    failed: tuple[int, ...] = ()
    failures: int = 0

    @classmethod
    def of(cls, raw: Object) -> Task:
        """Return the task that a JSON object in a status or in a graph describes."""
        error, asked, mapped = (fields.child(raw, name) for name in ("error", "input", "mapped"))
        counts = {name: int(value) for name, value in fields.numbers(mapped, "states").items()}
        kind = fields.text(error, "type")
        said = plain(fields.text(error, "message"), MAX_ERROR)
        indexes = mapped.get("failedIndexes")
        return cls(
            task_id=fields.text(raw, "taskId") or fields.text(raw, "id"),
            state=fields.text(raw, "state") or "none",
            try_number=fields.whole(raw, "tryNumber") or 0,
            started_at=fields.time(raw, "startTime"),
            ended_at=fields.time(raw, "endTime"),
            progress=fields.whole(raw, "progress"),
            metrics=fields.numbers(raw, "metrics"),
            error=f"{plain(kind, MAX_TASK_ID)}: {said}" if kind and said else said or plain(kind, MAX_TASK_ID),
            question=plain(fields.text(asked, "subject"), MAX_ERROR),
            url=fields.text(asked, "url") or fields.text(raw, "logUrl"),
            total=fields.whole(mapped, "total"),
            done=sum(counts.get(name, 0) for name in _ENDED_WELL),
            failed=tuple(index for index in indexes if isinstance(index, int)) if isinstance(indexes, list) else (),
            failures=counts.get("failed", 0),
        )

    @property
    def name(self) -> str:
        """The task's id without control characters, cut to :data:`MAX_TASK_ID` characters. For a
        mapped task, the numbers ``done`` and ``total`` follow: ``score 12/40``.
        """
        shown = plain(self.task_id, MAX_TASK_ID)
        return shown if self.total is None else f"{shown} {self.done}/{self.total}"


@dataclass(frozen=True, slots=True)
class TaskLine:
    """The content of the line that shows a task.

    Attributes:
        sign: The icon and the word of the task's state, and the tone, which selects a colour.
        name: The id of the task, and how many instances of a mapped task are done.
        took: The duration of the newest try, until now if the try is in progress. For a mapped
            task, the time from the start of the first instance to the end of the last instance.
            Empty if not known.
        notes: The number of the newest try if it is not the first try, the progress, the failed
            instances, the question and the metrics.
        error: Why the task failed, or an empty text.
    """

    sign: states.Sign
    name: str
    took: str
    notes: str
    error: str


def tasks_of(status: Object) -> list[Task]:
    """Return the tasks in the status of an MLJob. ``status`` is the status as JSON."""
    return [Task.of(raw) for raw in fields.children(status, "tasks")]


def line_of(task: Task, now: datetime) -> TaskLine:
    """Return the TaskLine of a task. If the task is in progress, its duration ends at ``now``."""
    ended = task.ended_at or (now if task.state in ("running", "deferred", "up_for_reschedule") else None)
    running = task.progress is not None and task.total is None and task.state == "running"
    notes = [
        f"try {task.try_number}" if task.try_number > 1 else "",
        f"{task.progress}%" if running else "",
        _failures(task),
        f"asks: {task.question}" if task.question else "",
        numbers.metrics(task.metrics),
    ]
    return TaskLine(
        sign=states.of_task(task.state),
        name=task.name,
        took=times.duration(times.between(task.started_at, ended)),
        notes="  ".join(note for note in notes if note),
        error=task.error,
    )


def _failures(task: Task) -> str:
    if not task.failures:
        return ""
    shown = ", ".join(map(str, task.failed[:_MAX_INDEXES]))
    more = ", ..." if task.failures > min(len(task.failed), _MAX_INDEXES) else ""
    return f"{task.failures} failed ({shown}{more})" if shown else f"{task.failures} failed"
