"""Chooses the task instance whose log is shown for a run, and finds out whether a try of a task is
in progress.

Airflow raises the try number of a task when it schedules the next try. Deferring, rescheduling or
clearing a task does not change the number.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from .facts import TaskFact
from .states import ACTIVE_TASK, FINISHED_TASK, WITHOUT_WORKER, TaskState


class TryState(StrEnum):
    """The state of one try of a task."""

    WAITING = "waiting"
    """The try has not begun, or waits for a worker again."""
    ACTIVE = "active"
    """The try is in progress."""
    RETRYING = "retrying"
    """The try has ended, and the next try follows."""
    SUPERSEDED = "superseded"
    """A later try exists."""
    ENDED = "ended"
    """The task has ended, or its run has ended and no try follows."""


def choose(facts: Iterable[TaskFact], task_id: str | None, map_index: int | None) -> TaskFact | None:
    """Return the task instance whose log is shown. The first rule that applies chooses among the
    instances that have begun:

    1. The instance that failed first.
    2. The active instance that started last. Instances that are deferred or wait to be rescheduled
       have no worker, and are chosen only if there is no other active instance.
    3. Among the instances that wait for a retry, the instance that started last.
    4. The instance that started last.

    Args:
        facts: The task instances of the run.
        task_id: The task, or None for any task that has begun.
        map_index: The map index of the instance, or None for any instance.

    Returns:
        TaskFact: The task instance. If no instance of task ``task_id`` has begun, the instance of
            this task with the lowest map index. None if no instance matches ``task_id`` and
            ``map_index``, or if ``task_id`` is None and no instance has begun.
    """
    found = [fact for fact in facts if task_id in (None, fact.task_id) and map_index in (None, fact.map_index)]
    begun = [fact for fact in found if fact.try_number > 0 and fact.start is not None]
    if failed := [fact for fact in begun if fact.state is TaskState.FAILED]:
        return min(failed, key=lambda fact: (_time(fact.end), fact.task_id, fact.map_index))
    if begun:
        return max(
            begun,
            key=lambda fact: (
                fact.state in ACTIVE_TASK,
                fact.state is TaskState.UP_FOR_RETRY,
                fact.state not in WITHOUT_WORKER,
                _time(fact.start),
                fact.task_id,
                fact.map_index,
            ),
        )
    return min(found, key=lambda fact: (fact.task_id, fact.map_index), default=None) if task_id is not None else None


def try_state(fact: TaskFact, number: int, *, run_has_ended: bool) -> TryState:
    """Return the state of a try of a task.

    Args:
        fact: The task instance.
        number: The number of the try.
        run_has_ended: Whether the run of the task has ended. After the end of the run, no further
            try begins.
    """
    if fact.try_number > number:
        return TryState.SUPERSEDED
    if fact.state in FINISHED_TASK or (run_has_ended and fact.state not in ACTIVE_TASK):
        return TryState.ENDED
    if fact.try_number < number or fact.state in (TaskState.SCHEDULED, TaskState.QUEUED):
        return TryState.WAITING
    if fact.state in (TaskState.UP_FOR_RETRY, TaskState.NONE):
        return TryState.RETRYING
    return TryState.ACTIVE


def _time(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0
