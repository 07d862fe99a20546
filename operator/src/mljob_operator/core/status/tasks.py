"""The tasks of an observed run as the status shows them: counts, an entry for each task, and the
progress. The size is limited whatever the size of the DAG.

The counts are exact. If not all entries fit, failed tasks are kept first, then active tasks, then
the tasks that ran last. A status stays below 64 KiB, because etcd stores a status as a whole (1.5
MiB a request by default) and the API server sends it as a whole to every watcher.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from mljob_contract.mljob import (
    MAX_ERROR_LENGTH,
    MAX_TASKS,
    InputRequest,
    MappedTasks,
    TaskCounts,
    TaskErrorStatus,
    TaskStatus,
)

from ..run.facts import Failure, Report, TaskFact
from ..run.observed_run import ObservedRun
from ..run.states import ACTIVE_TASK, FINISHED_TASK, WITHOUT_WORKER, RunState, TaskState, task_state
from ..text.storable import cut, stored_size

MAX_TASKS_BYTES = 40 * 1024
MAX_FAILED_INDEXES = 20
MAX_METRICS = 20
MAX_METRIC_NAME = 63
MAX_ERROR_TYPE = 120
MAX_SUBJECT = 200

# A mapped task has many instances, and its entry shows the first of these states that an instance
# has. States that show a failure or activity come first.
_STATES_BY_IMPORTANCE = (
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.AWAITING_INPUT,
    TaskState.RUNNING,
    TaskState.RESTARTING,
    TaskState.UP_FOR_RETRY,
    TaskState.DEFERRED,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.NONE,
    TaskState.SUCCESS,
    TaskState.SKIPPED,
    TaskState.REMOVED,
)


_BLANK = TaskStatus(task_id="", state="none")
"""A status of a task without content. Copying this status takes a quarter of the time of
``TaskStatus.model_construct``. Neither of these two ways validates the values.
"""
_OfTry = TypeVar("_OfTry", Report, Failure)


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """One entry of ``status.tasks``.

    Attributes:
        facts: The task instances that the entry shows. Empty for an entry of a stored status.
        status: The entry.
        content: The entry as JSON.
        size: The size of the entry in etcd, in bytes.
        importance: The sort key for the choice of entries. If not all entries fit, those with the
            smallest values are kept.
        position: The sort key for the order of the list. Tasks are listed in the order in which
            they started.
    """

    facts: tuple[TaskFact, ...]
    status: TaskStatus
    content: dict[str, Any]
    size: int
    importance: tuple[int, float, str]
    position: tuple[bool, float, str]

    @classmethod
    def of(cls, status: TaskStatus, facts: tuple[TaskFact, ...] = ()) -> TaskEntry:
        """Return an entry, with all values that follow from ``status``."""
        content = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        return cls(
            facts,
            status,
            content,
            stored_size(content) + len(","),
            _importance(status),
            (status.start_time is None, _time(status.start_time), status.task_id),
        )


class TaskEntries:
    """The entries of a run's tasks. An entry is used again until one of its task instances
    changes.
    """

    __slots__ = ("_entries", "_run_url")

    def __init__(self) -> None:
        self._run_url: str | None = None
        self._entries: dict[str, TaskEntry] = {}

    def of(self, facts: Iterable[TaskFact], run_url: str | None) -> list[TaskEntry]:
        """Return one entry for each task id. ``run_url`` is the run's page in Airflow, from which
        the links to the tasks' logs are derived.
        """
        by_task: dict[str, list[TaskFact]] = defaultdict(list)
        for fact in facts:
            by_task[fact.task_id].append(fact)
        before = self._entries if run_url == self._run_url else {}
        self._run_url = run_url
        self._entries = {
            task_id: entry
            if (entry := before.get(task_id)) is not None and entry.facts == tuple(group)
            else TaskEntry.of(_entry(task_id, group, run_url), tuple(group))
            for task_id, group in by_task.items()
        }
        return list(self._entries.values())


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """What the status says of a run's tasks.

    Attributes:
        counts: How many task instances are in each state.
        progress: The number of task instances that succeeded (see :func:`_counts_as_succeeded`) and
            of all task instances, such as ``3/5``. None if no task is known.
        percent: How much of the run has succeeded, from 0 to 100 (see :func:`_percent`). A running
            task counts with the progress that it reports. None if no task is known.
        current_task: The current task (see :func:`_current`), or None if no task is active.
        entries: One entry for each task id, without a limit.
    """

    counts: TaskCounts
    progress: str | None
    percent: int | None
    current_task: str | None
    entries: list[TaskEntry]

    @property
    def tasks(self) -> list[TaskStatus]:
        """The ``TaskStatus`` of each entry."""
        return [entry.status for entry in self.entries]


def summarise(observed_run: ObservedRun, run_url: str | None, entries: TaskEntries | None = None) -> TaskSummary:
    """Return a run's tasks for the status.

    Args:
        observed_run: What the operator knows of the run.
        run_url: The URL of the run's page in Airflow, from which the links to the tasks' logs are
            derived.
        entries: The entries from earlier statuses of the same run, to use again.
    """
    facts = list(observed_run.tasks.values())
    states = Counter([fact.shown_state for fact in facts])
    counts = TaskCounts.model_validate({"total": len(facts)} | {str(state): n for state, n in states.items()})
    done = _counts_as_succeeded(observed_run)
    return TaskSummary(
        counts=counts,
        progress=f"{sum(states.get(state, 0) for state in done)}/{len(facts)}" if facts else None,
        percent=_percent(facts, done) if facts else None,
        current_task=_current(facts),
        entries=(entries if entries is not None else TaskEntries()).of(facts, run_url),
    )


def _counts_as_succeeded(observed_run: ObservedRun) -> tuple[TaskState, ...]:
    """Return the states of the task instances that count as succeeded. Skipped and removed task
    instances count too, unless the run failed: Airflow skips the remaining tasks of a run that
    somebody set to failed, or that exceeded its ``dagrun_timeout``.
    """
    if observed_run.run is not None and observed_run.run.state is RunState.FAILED:
        return (TaskState.SUCCESS,)
    return (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED)


def _percent(facts: Sequence[TaskFact], done: Container[TaskState]) -> int:
    """Return how much of the run has succeeded. All tasks have the same share, which the instances
    of a mapped task divide. If the instances had whole shares, the percentage would fall when the
    task expands.
    """
    instances = Counter([fact.task_id for fact in facts])
    share = sum((1.0 if fact.shown_state in done else _own_progress(fact)) / instances[fact.task_id] for fact in facts)
    # A sum of binary fractions, such as three times 1/3, may be a little less than 1.
    return int(round(100 * share / len(instances), 6))


def first_failure(observed_run: ObservedRun) -> TaskFact | None:
    """Return the task instance that failed first, for the message why the run failed. Return None
    if no task failed.
    """
    failed = [fact for fact in observed_run.tasks.values() if fact.shown_state is TaskState.FAILED]
    return min(failed, key=lambda fact: (fact.end or fact.occurred_at, fact.key), default=None)


def error_text(fact: TaskFact) -> str | None:
    """Return the error of a failed task, such as ``ValueError: no such column``, or None if the
    error is not known.
    """
    failure = _of_try(fact.details.failure, fact)
    if failure is None:
        return None
    error = _error(failure)
    return f"{error.type}: {error.message}" if error.type else error.message


def input_url(run_url: str, waiting: Sequence[TaskFact]) -> str:
    """Return the URL of the page where a person can answer. If one task instance waits, this is the
    page of the task instance. Otherwise this is the page with all waiting tasks of the run.
    """
    if len(waiting) > 1:
        return f"{run_url}/required_actions"
    (fact,) = waiting
    instance = f"/mapped/{fact.map_index}" if fact.map_index >= 0 else ""
    return f"{_task_url(run_url, fact.task_id)}{instance}/required_actions"


def _own_progress(fact: TaskFact) -> float:
    """Return the progress that an active task reports, from 0 to 1. The progress of any other task
    is 0.
    """
    report = _of_try(fact.details.progress, fact)
    if report is None or fact.shown_state not in ACTIVE_TASK:
        return 0.0
    return report.progress or 0.0


def _of_try(detail: _OfTry | None, fact: TaskFact) -> _OfTry | None:
    """Return ``said``, a report or a failure, if it is about the current try of the task. Otherwise
    return None.
    """
    return detail if detail is not None and detail.try_number == fact.try_number else None


def _current(facts: Iterable[TaskFact]) -> str | None:
    """Return the id of the current task, or None if no task is active. Tasks that wait for a person
    come first, then tasks on a worker, then active tasks without a worker. Among several such
    tasks, the task that started last is the current task.
    """
    active = [fact for fact in facts if fact.state in ACTIVE_TASK]
    latest = max(
        active,
        key=lambda fact: (fact.awaits_input, fact.state not in WITHOUT_WORKER, _time(fact.start), fact.key),
        default=None,
    )
    return latest.task_id if latest else None


def _task_url(run_url: str, task_id: str) -> str:
    return f"{run_url}/tasks/{quote(task_id, safe='')}"


def _entry(task_id: str, group: list[TaskFact], run_url: str | None) -> TaskStatus:
    url = _task_url(run_url, task_id) if run_url else None
    if len(group) == 1 and group[0].map_index < 0:
        fact = group[0]
        state = fact.shown_state
        failing = state in (TaskState.FAILED, TaskState.UP_FOR_RETRY)
        error = _of_try(fact.details.failure, fact) if failing else None
        progress, metrics = _of_try(fact.details.progress, fact), _of_try(fact.details.metrics, fact)
        percent = int(100 * progress.progress) if progress and progress.progress is not None else None
        return _BLANK.model_copy(
            update={
                "task_id": task_id,
                "state": str(state),
                "try_number": fact.try_number,
                "start_time": _seconds(fact.start),
                "end_time": _seconds(fact.end) if state in FINISHED_TASK else None,
                "progress": 100 if percent is not None and state is TaskState.SUCCESS else percent,
                "metrics": _metrics(metrics.metrics or {}) if metrics else None,
                "error": _error(error) if error else None,
                "log_url": url,
                "input": _input(group, run_url),
            }
        )

    states = Counter(fact.shown_state for fact in group)
    most_important = next(state for state in _STATES_BY_IMPORTANCE if states[state])
    failed = sorted(fact.map_index for fact in group if fact.shown_state is TaskState.FAILED)
    failures = [fact.details.failure for fact in group if fact.details.failure and fact.map_index in failed[:1]]
    finished = sum(states[state] for state in FINISHED_TASK)
    return TaskStatus.model_construct(
        task_id=task_id,
        state=str(most_important),
        try_number=max(fact.try_number for fact in group),
        start_time=_seconds(min((fact.start for fact in group if fact.start), default=None)),
        end_time=_seconds(max((fact.end for fact in group if fact.end), default=None))
        if finished == len(group)
        else None,
        progress=int(100 * (finished + sum(map(_own_progress, group))) / len(group)),
        metrics=None,
        error=_error(failures[0]) if failures else None,
        log_url=url,
        input=_input(group, run_url),
        mapped=MappedTasks.model_construct(
            total=len(group),
            states={str(state): states[state] for state in _STATES_BY_IMPORTANCE if states[state]},
            failed_indexes=failed[:MAX_FAILED_INDEXES] or None,
        ),
    )


def _error(failure: Failure) -> TaskErrorStatus:
    return TaskErrorStatus.model_construct(
        type=cut(failure.type, MAX_ERROR_TYPE) if failure.type else None,
        message=cut(failure.message, MAX_ERROR_LENGTH),
    )


def _metrics(reported: Mapping[str, float]) -> dict[str, float]:
    """Return the first ``MAX_METRICS`` metrics in the order of their names. NaN and infinity are
    left out, because JSON has neither.
    """
    numbers = sorted((name, value) for name, value in reported.items() if math.isfinite(value))
    return {cut(name, MAX_METRIC_NAME): value for name, value in numbers[:MAX_METRICS]}


def _input(group: list[TaskFact], run_url: str | None) -> InputRequest | None:
    """Return the question that the task waits for. If several instances wait, this is the question
    of the first instance. Return None if no instance waits.
    """
    waiting = [fact for fact in group if fact.awaits_input]
    if not waiting:
        return None
    waiting.sort(key=lambda fact: fact.map_index)
    question = waiting[0].details.question
    subject = question.subject if question else None
    return InputRequest.model_construct(
        subject=cut(subject, MAX_SUBJECT) if subject else None,
        url=input_url(run_url, waiting) if run_url else None,
        instances=len(waiting) if waiting[0].map_index >= 0 else None,
    )


def within_bounds(entries: Sequence[TaskEntry], room: int) -> list[TaskEntry]:
    """Return the most important entries that fit into ``room`` bytes, in the order in which the
    tasks started.
    """
    room = min(room, MAX_TASKS_BYTES)
    if len(entries) <= MAX_TASKS and sum(entry.size for entry in entries) <= room:
        return sorted(entries, key=lambda entry: entry.position)
    kept: list[TaskEntry] = []
    for entry in sorted(entries, key=lambda entry: entry.importance):
        room -= entry.size
        if room < 0 or len(kept) == MAX_TASKS:
            break
        kept.append(entry)
    return sorted(kept, key=lambda entry: entry.position)


def _importance(entry: TaskStatus) -> tuple[int, float, str]:
    state = task_state(entry.state)
    if state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED):
        group = 0 if state is TaskState.FAILED else 2
    elif state in ACTIVE_TASK or state is TaskState.UP_FOR_RETRY:
        group = 1
    else:
        group = 3
    return group, -_time(entry.end_time or entry.start_time), entry.task_id


def _seconds(at: datetime | None) -> datetime | None:
    """Return the time without microseconds, since Kubernetes times have whole seconds
    (metav1.Time).
    """
    return at.replace(microsecond=0) if at else None


def _time(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
