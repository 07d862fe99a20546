"""Decides which changes of a status are written to Kubernetes immediately.

The MLJob provider and Airflow's own ``kafka_event_producer`` can both report the same state of a
task, some milliseconds apart. The second report only makes the times of the state more exact. The
operator writes the more exact times together with the next significant change, or after
``REFINEMENT_WAITS`` (5 seconds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from mljob_contract.mljob import StatusSource

REFINEMENT_WAITS = timedelta(seconds=5)
"""The maximum time that a refinement waits. The delay is acceptable, because without events the
status is as late: the operator reads changes from Airflow every 5 seconds by default.
"""

_OF_NEWEST = frozenset({"lastEventTime", "statusSource"})
_TIMES = _OF_NEWEST | {"startTime"}
_LISTS = frozenset({"tasks", "conditions"})
_TASK_TIMES = frozenset({"startTime", "endTime"})
_OF_CURRENT_TASK = frozenset({"currentTask", "message"})


def is_significant(patch: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether a patch of the status ``old`` must be written immediately.

    More exact times can wait, and so can changes that follow from more exact times. So changes of
    these fields are not significant:

    - ``startTime`` of the status
    - ``startTime`` and ``endTime`` of each task, and the order of the tasks
    - ``lastEventTime`` and ``statusSource``
    - ``currentTask``
    - if the patch changes ``currentTask``: the ``message`` of the status and of each condition
    """
    # The current task is the task that started last, so a more exact time may make another task the
    # current task.
    ignored = _TIMES | _OF_CURRENT_TASK if "currentTask" in patch else _TIMES
    return (
        not patch.keys() <= ignored | _LISTS
        or ("tasks" in patch and _tasks_differ(old.get("tasks"), patch["tasks"]))
        or (
            "conditions" in patch
            and _conditions(old.get("conditions"), ignored) != _conditions(patch["conditions"], ignored)
        )
    )


def shows_nothing_new(patch: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a patch shows a reader nothing new. ``new`` is the status after the patch.

    Two kinds of patches show nothing new:

    - an empty patch
    - a patch that changes no field except ``statusSource`` and ``lastEventTime``, if the
      ``statusSource`` in ``new`` is ``REST``
    """
    return not patch or (patch.keys() <= _OF_NEWEST and new.get("statusSource") == StatusSource.REST)


def _conditions(conditions: Sequence[Mapping[str, Any]] | None, ignored: frozenset[str]) -> list[dict[str, Any]]:
    return [_without(condition, ignored) for condition in conditions or ()]


def _tasks_differ(old: Sequence[Mapping[str, Any]] | None, new: Sequence[Mapping[str, Any]] | None) -> bool:
    before = {task["taskId"]: task for task in old or ()}
    after = {task["taskId"]: task for task in new or ()}
    return before.keys() != after.keys() or any(
        task != before[task_id] and _without(task, _TASK_TIMES) != _without(before[task_id], _TASK_TIMES)
        for task_id, task in after.items()
    )


def _without(value: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: kept for name, kept in value.items() if name not in names}
