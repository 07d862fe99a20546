"""Decides in which order the task instances of a run are set to failed.

When a task instance is set to failed, Airflow clears all tasks downstream of it that are failed or
upstream_failed (``set_task_instance_state`` of Airflow 3.3). Cleared tasks would run again. So each
task is set to failed before its downstream tasks.

The functions do no I/O.
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
    """A task instance of the run; ``map_index`` is -1 for a task that is not mapped."""

    task_id: str
    map_index: int
    state: str | None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What Airflow did with a batch of task instances.

    Attributes:
        failed: How many task instances Airflow set to failed, or had set to failed already.
        errors: Error messages about task instances that Airflow did not find. A request for several
            task instances gives no message about missing ones, because Airflow skips them.
    """

    failed: int
    errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the DAG, with the ids of the tasks directly downstream."""

    task_id: str
    downstream_task_ids: tuple[str, ...] = ()
    trigger_rule: str | None = None


def batches(instances: Iterable[TaskInstance], ranks: Mapping[str, int]) -> list[list[TaskInstance]]:
    """Return the task instances in the order in which they are set to failed, one batch for each
    request.

    The rank of a task is higher than the ranks of all its upstream tasks. A batch has at most
    ``BATCH_SIZE`` task instances of one rank, because Airflow does not keep to an order within a
    request. Batches of lower ranks come first, and batches of tasks that the DAG no longer has come
    last. Within a rank, task instances that are not running come first. If running task instances
    came first, each of them would free a slot, and a task instance that is not running yet could
    start in this slot.

    Args:
        instances: The task instances to set to failed.
        ranks: The rank of each task, from :func:`mljob_contract.task_ranks.task_ranks`.
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
