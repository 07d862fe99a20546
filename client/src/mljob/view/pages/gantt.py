"""The chart of a run: bars on one time axis show when each task waited and ran.

The bars come from the run's history. A mapped task, or a task without history, has at most one bar,
which comes from the MLJob's status.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mljob_contract.history import TaskChange
from mljob_contract.mljob import TaskStatus

from ...render.times import between, duration
from .marks import Mark, task_mark
from .outside_text import cut

MAX_BARS: Final = 20
"""The maximum number of bars in a row, which shows the newest bars."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * step for step in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * step for step in (1, 2, 3, 6, 12)),
)
"""The distances of ticks that are easy to read, in seconds. Longer distances are whole days."""
_MAX_STEPS: Final = 5
"""The maximum number of distances between ticks on an axis."""
_WAITING: Final = frozenset({"queued", "scheduled"})
_OPEN: Final = frozenset({"running", "deferred", "up_for_reschedule", "restarting", "awaiting_input"})


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of time in which a task waited or ran.

    Attributes:
        left: Where the bar begins, in percent of the axis.
        width: How long the bar is, in percent of the axis.
        tone: The CSS class of the colour, which is ``queued`` if the task waited.
        title: What the bar shows, in words.
    """

    left: float
    width: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class TaskRow:
    """The row of a task in the chart.

    Attributes:
        counts: For a mapped task, how many instances succeeded or were skipped, and how many
            instances the task has, such as ``12/40``. Empty for other tasks.
        progress: The progress of the task, in percent, or None if the progress is unknown.
        started_at: When the newest try started, or None. For a mapped task, when the first instance
            started.
        ended_at: When the newest try ended, or None. For a mapped task, when the last instance
            ended.
    """

    task_id: str
    mark: Mark
    tries: int
    counts: str
    progress: int | None
    started_at: datetime | None
    ended_at: datetime | None
    error: str
    question: str
    question_url: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Gantt:
    """The chart: the rows of the tasks, and the ticks of the time axis. A tick is a pair: the
    position in percent of the axis, and the label.
    """

    rows: tuple[TaskRow, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class _Span:
    begin: datetime
    end: datetime
    tone: str
    words: str


def gantt(tasks: Sequence[TaskStatus], history: Iterable[TaskChange], now: datetime) -> Gantt:
    """Return the chart of a run.

    Args:
        tasks: The tasks in the MLJob's status. The rows of the chart have the order of ``tasks``.
        history: State changes of the run's tasks. Empty if the history can't be read.
        now: The current time, at which the bars of waiting and running tasks end.
    """
    changes: dict[str, list[TaskChange]] = {}
    for change in history:
        changes.setdefault(change.task_id, []).append(change)
    spans = {task.task_id: _spans(task, changes.get(task.task_id, []), now) for task in tasks}
    times = [time for found in spans.values() for span in found for time in (span.begin, span.end)]
    begin, end = (min(times), max(times)) if times else (now, now)
    length = max(1.0, (end - begin).total_seconds())
    rows = tuple(_row(task, spans[task.task_id], begin, length) for task in tasks)
    return Gantt(rows, _ticks(length) if times else ())


def _spans(task: TaskStatus, changes: list[TaskChange], now: datetime) -> list[_Span]:
    if task.mapped is None and (spans := _history_spans(changes, now)):
        return spans[-MAX_BARS:]
    if task.start_time is None:
        return []
    end = task.end_time or (now if task.state in _OPEN else task.start_time)
    return [_span(task.start_time, end, task_mark(task.state).tone, task.state, task.try_number)]


def _span(begin: datetime, end: datetime, tone: str, state: str, try_number: int) -> _Span:
    took = duration(between(begin, end) or 0)
    return _Span(begin, max(begin, end), tone, f"try {try_number}: {state.replace('_', ' ')} {took}")


def _history_spans(changes: list[TaskChange], now: datetime) -> list[_Span]:
    """Return the spans of time in which a task waited or ran. Each try has at most one span of
    waiting, and at most one span of running.
    """
    tries: dict[int, list[TaskChange]] = {}
    for change in sorted(changes, key=lambda change: change.time):
        tries.setdefault(change.try_number, []).append(change)
    spans: list[_Span] = []
    for number, states in sorted(tries.items()):
        started = next((change.start_time or change.time for change in states if change.state not in _WAITING), None)
        waited = next((change.time for change in states if change.state in _WAITING), None)
        if waited is not None and (started is None or started > waited):
            spans.append(_span(waited, started or now, "queued", "queued", number))
        last = states[-1]
        if started is not None and last.state not in ("none", *_WAITING):
            end = last.end_time or (now if last.state in _OPEN else last.time)
            spans.append(_span(last.start_time or started, end, task_mark(last.state).tone, last.state, number))
    return spans


def _row(task: TaskStatus, spans: list[_Span], begin: datetime, length: float) -> TaskRow:
    bars = []
    for span in spans:
        left = 100 * (span.begin - begin).total_seconds() / length
        width = 100 * (span.end - span.begin).total_seconds() / length
        bars.append(Bar(round(min(left, 99.4), 2), round(max(width, 0.6), 2), span.tone, span.words))
    error = task.error
    kind = f"{error.type}: " if error is not None and error.type else ""
    return TaskRow(
        task_id=cut(task.task_id, 250),
        mark=task_mark(cut(task.state, 40)),
        tries=task.try_number,
        counts=mapped_counts(task),
        progress=task.progress,
        started_at=task.start_time,
        ended_at=task.end_time,
        error=cut(f"{kind}{error.message}") if error is not None else "",
        question=cut(task.input.subject or "A person must answer in Airflow.", 200) if task.input else "",
        question_url=(task.input.url or "") if task.input else "",
        bars=tuple(bars),
    )


def mapped_counts(task: TaskStatus) -> str:
    """Return how many instances of a mapped task succeeded or were skipped, and how many instances
    the task has, such as ``12/40``. Return an empty text for a task that is not mapped.
    """
    if task.mapped is None:
        return ""
    states = task.mapped.states
    return f"{states.get('success', 0) + states.get('skipped', 0)}/{task.mapped.total}"


def _ticks(length: float) -> tuple[tuple[float, str], ...]:
    days = math.ceil(length / (_DAY * _MAX_STEPS))
    step = next((step for step in _STEPS if step * _MAX_STEPS >= length), _DAY * days)
    return tuple((round(100 * at / length, 2), duration(at)) for at in range(0, int(length) + 1, step))
