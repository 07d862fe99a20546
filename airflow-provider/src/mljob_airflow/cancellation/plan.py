"""Decides in which order the task instances of a run are set to failed: each task before its
downstream tasks.

When a task instance is set to failed, Airflow clears all downstream tasks that are failed or
upstream_failed (``set_task_instance_state`` of Airflow 3.3). Cleared tasks would run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
FINISHED_RUN_STATES = frozenset({"success", "failed"})
NOT_STARTED = frozenset({None, "scheduled", "queued", "skipped", "upstream_failed", "removed"})
"""The states of task instances whose code has not run, or that were skipped by their own code.
``None`` is the state of a task instance that the scheduler has not yet scheduled.
"""
TEARDOWN_TRIGGER_RULE = "all_done_setup_success"
"""The trigger rule of teardown tasks. Airflow gives this rule to no other task."""
BATCH_SIZE = 25
"""The maximum number of task instances in one request. Airflow locks the rows of all task instances
of a request until all of them are set to failed, so large requests would block the scheduler.
"""


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """A task instance.

    Attributes:
        map_index: The map index, or -1 if the task is not mapped.
        try_number: The number of the last try, or 0 before the first try.
        note: The task instance's note in Airflow.
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of setting a batch of task instances to failed.

    Attributes:
        failed: The number of task instances that Airflow set to failed, or that had failed already.
        errors: An error message for each task instance that Airflow did not find. Empty if one
            request was sent for the whole batch, because Airflow then skips missing task instances.
    """

    failed: int
    errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a DAG, with the ids of its direct downstream tasks and its trigger rule."""

    task_id: str
    downstream_task_ids: tuple[str, ...] = ()
    trigger_rule: str | None = None


def batches(instances: Iterable[TaskInstance], ranks: Mapping[str, int]) -> list[list[TaskInstance]]:
    """Return the task instances in batches, in the order in which they are set to failed. All task
    instances of a batch have the same rank, because Airflow may set them to failed in any order.

    Lower ranks come first. Tasks that the DAG no longer has come last. Within a rank, running task
    instances come last. When a running task instance is set to failed, it frees a slot, and Airflow
    could start another task instance of the rank in this slot.

    Args:
        instances: The task instances to set to failed.
        ranks: The rank of each task, from :func:`mljob_contract.task_ranks.task_ranks`. A task has
            a higher rank than its upstream tasks.
    """
    last = max(ranks.values(), default=0) + 1
    groups: dict[int, list[TaskInstance]] = {}
    for instance in sorted(instances, key=lambda ti: (ti.state == "running", ti.task_id, ti.map_index)):
        groups.setdefault(ranks.get(instance.task_id, last), []).append(instance)
    return [
        groups[rank][start : start + BATCH_SIZE]
        for rank in sorted(groups)
        for start in range(0, len(groups[rank]), BATCH_SIZE)
    ]
