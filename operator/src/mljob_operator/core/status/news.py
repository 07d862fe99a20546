"""What is worth a patch of its own: a patch costs the API server, etcd and every watcher something, so it should tell a reader something.

With both producers on, each state of a task is told twice, some milliseconds apart. The first message tells of it; what the second one adds
is when exactly it came about. That is a refinement: it rides along with the next patch that has news, or goes by itself after
``REFINEMENT_WAITS``. Nothing is lost with a process that dies meanwhile, since Airflow's REST API has the same times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

REFINEMENT_WAITS = timedelta(seconds=5)
"""As long as the change feed's interval: where no event tells a task's start, it is in the status about as late."""

_TIMES = frozenset({"lastEventTime", "statusSource", "startTime"})
_TASKS = frozenset({"tasks"})
_TASK_TIMES = frozenset({"startTime", "endTime"})
_OF_CURRENT_TASK = frozenset({"currentTask", "message"})


def is_significant(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a reader learns more from the new status than exact times of what the old one says already."""
    # Of several tasks that run, the one that started last is the current one: that another one is follows from times alone.
    one_task = old.get("currentTask") == new.get("currentTask")
    return _said(old, one_task) != _said(new, one_task) or _tasks_differ(old.get("tasks"), new.get("tasks"))


def _said(status: Mapping[str, Any], one_task: bool) -> dict[str, Any]:
    unsaid = _TIMES if one_task else _TIMES | _OF_CURRENT_TASK
    said = _without(status, unsaid | _TASKS)
    said["conditions"] = [_without(condition, unsaid) for condition in status.get("conditions") or ()]
    return said


def _tasks_differ(old: Sequence[Mapping[str, Any]] | None, new: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether tasks differ in more than times. Their sequence follows from times too: they are listed in the order in which they started."""
    before = {task["taskId"]: task for task in old or ()}
    after = {task["taskId"]: task for task in new or ()}
    return before.keys() != after.keys() or any(
        task != before[task_id] and _without(task, _TASK_TIMES) != _without(before[task_id], _TASK_TIMES)
        for task_id, task in after.items()
    )


def _without(value: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: said for name, said in value.items() if name not in names}
