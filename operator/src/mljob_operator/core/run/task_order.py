"""The order in which a cancellation sets the tasks of a run to failed: upstream tasks first.

When a task is set to failed, Airflow clears the failed tasks downstream of this task
(``set_task_instance_state``). In another order, Airflow would clear tasks that the cancellation has
already set to failed. Within one request, Airflow sets the tasks in no fixed order. So a task and a
task downstream of this task need separate requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from mljob_contract.task_ranks import task_ranks

from .facts import TaskKey


def upstream_first(instances: Iterable[TaskKey], downstream: Mapping[str, Collection[str]]) -> list[list[TaskKey]]:
    """Return the task instances in groups, upstream tasks first. The caller must set each group to
    failed before the next group.

    Args:
        instances: Task ids and map indexes, in any order.
        downstream: For each task of the DAG, the tasks directly downstream. Task instances whose
            task is not in ``downstream`` are in the last group.
    """
    ranks = task_ranks(downstream)
    last = max(ranks.values(), default=0) + 1
    groups: dict[int, list[TaskKey]] = defaultdict(list)
    for task_id, map_index in instances:
        groups[ranks.get(task_id, last)].append((task_id, map_index))
    return [sorted(groups[rank]) for rank in sorted(groups)]
