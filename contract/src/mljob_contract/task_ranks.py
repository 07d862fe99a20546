"""The order of a DAG's tasks: upstream tasks before downstream tasks.

To cancel a run, the operator or the cancellation DAG sets the run's tasks to failed in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


def task_ranks(downstream: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return the rank of each task: 0 for a task without upstream tasks, otherwise one more than
    the highest rank of the task's upstream tasks. The result is empty if the tasks form a cycle.

    Args:
        downstream: For each task of the DAG, by task id, the ids of the tasks directly downstream
            of this task.
    """
    upstream: dict[str, set[str]] = {task_id: set() for task_id in downstream}
    for task_id, following in downstream.items():
        for follower in following:
            upstream.setdefault(follower, set()).add(task_id)
    ranks: dict[str, int] = {}
    try:
        for task_id in TopologicalSorter(upstream).static_order():
            ranks[task_id] = 1 + max((ranks[up] for up in upstream[task_id]), default=-1)
    except CycleError:
        return {}
    return ranks
