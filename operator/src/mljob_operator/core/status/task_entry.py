"""A task of a run, and its entry in ``status.tasks``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from mljob_contract.mljob import MAX_ERROR_LENGTH, InputRequest, MappedTasks, TaskErrorStatus, TaskStatus
from mljob_contract.task_page import task_page

from ..frozen import frozen
from ..run.facts import Failure, Report, TaskFact
from ..run.states import ACTIVE_TASK, FINISHED_TASK, WITHOUT_WORKER, TaskState, task_state
from ..text.storable import cut, stored_size
from .whole_seconds import whole_seconds

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
_FAILING = frozenset({TaskState.FAILED, TaskState.UP_FOR_RETRY})

_BLANK = TaskStatus(task_id="", state="none")
"""A status of a task without content. Copying this status takes a quarter of the time of
``TaskStatus.model_construct``. Neither of these two ways validates the values.
"""
_OfTry = TypeVar("_OfTry", Report, Failure)


@frozen
class TaskEntry:
    """One entry of ``status.tasks``.

    Attributes:
        status: The entry as a ``TaskStatus``.
        content: The entry as a JSON object.
        size: The size of the entry in etcd, in bytes.
        importance: A sort key. A smaller value means a more important entry. If not all entries fit
            into the status, the most important entries are kept.
        position: A sort key for the order of the list: the start time. Tasks that have not started
            come last.
    """

    status: TaskStatus
    content: dict[str, Any]
    size: int
    importance: tuple[int, float, str]
    position: tuple[bool, float, str]

    @classmethod
    def of(cls, status: TaskStatus) -> TaskEntry:
        """Make the entry from a ``TaskStatus``."""
        content = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        return cls(
            status,
            content,
            stored_size(content) + len(","),
            _importance(status),
            (status.start_time is None, _time(status.start_time), status.task_id),
        )


@frozen
class RunTask:
    """A task of a run.

    Attributes:
        facts: The task instances. A task that is not mapped has one task instance.
        entry: The entry of the task in ``status.tasks``.
        states: The number of task instances in each state.
        progress: The sum of the progress that the active task instances have reported. The progress
            of one task instance is a number from 0 to 1.
        activity: A sort key. The task with the largest value is the run's current task. Tasks that
            wait for a person's answer have the largest values, then tasks on a worker, then active
            tasks without a worker. Within each of these three groups, tasks that started later have
            larger values. None if no task instance is active.
    """

    facts: tuple[TaskFact, ...]
    entry: TaskEntry
    states: Mapping[TaskState, int]
    progress: float
    activity: tuple[bool, bool, float, tuple[str, int]] | None

    @classmethod
    def of(cls, facts: tuple[TaskFact, ...], run_url: str | None) -> RunTask:
        """Return the task whose task instances are ``facts``.

        Args:
            facts: All task instances of the task, at least one.
            run_url: The URL of the run's page in Airflow. None if the entry shall have no links.
        """
        states = Counter([fact.shown_state for fact in facts]) if len(facts) > 1 else {facts[0].shown_state: 1}
        progress = sum(map(_own_progress, facts))
        status = _mapped(facts, states, progress, run_url) if _is_mapped(facts) else _of_one(facts[0], run_url)
        return cls(
            facts,
            TaskEntry.of(status),
            states,
            progress,
            max((_activity(fact) for fact in facts if fact.state in ACTIVE_TASK), default=None),
        )


def _activity(fact: TaskFact) -> tuple[bool, bool, float, tuple[str, int]]:
    return fact.awaits_input, fact.state not in WITHOUT_WORKER, _time(fact.start), fact.key


def error_text(fact: TaskFact) -> str | None:
    """Return the error of a failed task instance, such as ``ValueError: no such column``. Return
    None if no error is known for the current try.
    """
    failure = _of_try(fact.details.failure, fact)
    if failure is None:
        return None
    error = _error(failure)
    return f"{error.type}: {error.message}" if error.type else error.message


def input_url(run_url: str, waiting: Sequence[TaskFact]) -> str:
    """Return the URL of the page where a person can answer the questions of waiting task instances.
    If several task instances wait, the page lists all questions of the run.
    """
    if len(waiting) > 1:
        return f"{run_url}/required_actions"
    (fact,) = waiting
    instance = f"/mapped/{fact.map_index}" if fact.map_index >= 0 else ""
    return f"{task_page(run_url, fact.task_id)}{instance}/required_actions"


def _own_progress(fact: TaskFact) -> float:
    report = _of_try(fact.details.progress, fact)
    if report is None or fact.shown_state not in ACTIVE_TASK:
        return 0.0
    return report.progress or 0.0


def _of_try(detail: _OfTry | None, fact: TaskFact) -> _OfTry | None:
    return detail if detail is not None and detail.try_number == fact.try_number else None


def _is_mapped(facts: Sequence[TaskFact]) -> bool:
    return len(facts) > 1 or facts[0].map_index >= 0


def _log_url(task_id: str, state: TaskState, run_url: str | None) -> str | None:
    # Few people read the log of a task that goes well, and its URL follows from the run's URL.
    return task_page(run_url, task_id) if run_url and state in _FAILING else None


def _of_one(fact: TaskFact, run_url: str | None) -> TaskStatus:
    state = fact.shown_state
    error = _of_try(fact.details.failure, fact) if state in _FAILING else None
    progress, metrics = _of_try(fact.details.progress, fact), _of_try(fact.details.metrics, fact)
    percent = int(100 * progress.progress) if progress and progress.progress is not None else None
    return _BLANK.model_copy(
        update={
            "task_id": fact.task_id,
            "state": str(state),
            "try_number": fact.try_number,
            "start_time": whole_seconds(fact.start),
            "end_time": whole_seconds(fact.end) if state in FINISHED_TASK else None,
            "progress": 100 if percent is not None and state is TaskState.SUCCESS else percent,
            "metrics": _metrics(metrics.metrics or {}) if metrics else None,
            "error": _error(error) if error else None,
            "log_url": _log_url(fact.task_id, state, run_url),
            "input": _input((fact,), run_url),
        }
    )


def _mapped(
    facts: Sequence[TaskFact], states: Mapping[TaskState, int], progress: float, run_url: str | None
) -> TaskStatus:
    present = [state for state in _STATES_BY_IMPORTANCE if state in states]
    failed = sorted(fact.map_index for fact in facts if fact.shown_state is TaskState.FAILED)
    first = next((fact for fact in facts if fact.map_index in failed[:1]), None)
    failure = _of_try(first.details.failure, first) if first is not None else None
    finished = sum(states.get(state, 0) for state in FINISHED_TASK)
    ends = [fact.end for fact in facts if fact.end] if finished == len(facts) else []
    return TaskStatus.model_construct(
        task_id=facts[0].task_id,
        state=str(present[0]),
        try_number=max(fact.try_number for fact in facts),
        start_time=whole_seconds(min((fact.start for fact in facts if fact.start), default=None)),
        end_time=whole_seconds(max(ends, default=None)),
        progress=int(100 * (finished + progress) / len(facts)),
        metrics=None,
        error=_error(failure) if failure is not None else None,
        log_url=_log_url(facts[0].task_id, present[0], run_url),
        input=_input(facts, run_url),
        mapped=MappedTasks.model_construct(
            total=len(facts),
            states={str(state): states[state] for state in present},
            failed_indexes=failed[:MAX_FAILED_INDEXES] or None,
        ),
    )


def _error(failure: Failure) -> TaskErrorStatus:
    return TaskErrorStatus.model_construct(
        type=cut(failure.type, MAX_ERROR_TYPE) if failure.type else None,
        message=cut(failure.message, MAX_ERROR_LENGTH),
    )


def _metrics(reported: Mapping[str, float]) -> dict[str, float]:
    numbers = sorted((name, value) for name, value in reported.items() if math.isfinite(value))
    return {cut(name, MAX_METRIC_NAME): value for name, value in numbers[:MAX_METRICS]}


def _input(group: Sequence[TaskFact], run_url: str | None) -> InputRequest | None:
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


def _importance(entry: TaskStatus) -> tuple[int, float, str]:
    state = task_state(entry.state)
    if state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED):
        group = 0 if state is TaskState.FAILED else 2
    elif state in ACTIVE_TASK or state is TaskState.UP_FOR_RETRY:
        group = 1
    else:
        group = 3
    return group, -_time(entry.end_time or entry.start_time), entry.task_id


def _time(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
