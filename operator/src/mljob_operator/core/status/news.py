"""Which changes of a status deserve a patch of their own. A patch costs the API server, etcd and
every watcher, so it should tell a reader something.

With both producers on, two messages report each state of a task, some milliseconds apart. The
second message adds only the exact time. Such a refinement waits for the next patch with a
significant change, at most for ``REFINEMENT_WAITS``. Nothing is lost if the process dies meanwhile,
because Airflow's REST API has the same times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

REFINEMENT_WAITS = timedelta(seconds=5)
"""How long a refinement waits. It is the interval of the change feed: a start without an event is
in the status about as late.
"""

_TIMES = frozenset({"lastEventTime", "statusSource", "startTime"})
_TASKS = frozenset({"tasks"})
_TASK_TIMES = frozenset({"startTime", "endTime"})
_OF_CURRENT_TASK = frozenset({"currentTask", "message"})


def is_significant(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the new status says more than the exact times of what the old status says already."""
    if _tasks_differ(old.get("tasks"), new.get("tasks")):
        return True
    # The current task is the running task that started last, so it may change with exact times
    # alone.
    one_task = old.get("currentTask") == new.get("currentTask")
    return _said(old, one_task) != _said(new, one_task)


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
