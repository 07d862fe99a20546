"""The states of runs and tasks in Airflow, the order of these states, and the phases of an MLJob
that may follow each phase.

Sources: ``airflow.utils.state`` (TaskInstanceState, DagRunState) of Airflow 3.3.
"""

from __future__ import annotations

from enum import StrEnum

from mljob_contract.mljob import Phase


class RunState(StrEnum):
    """The states that Airflow gives a dag run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class TaskState(StrEnum):
    """A task instance's state in Airflow. NONE means not scheduled yet, for which Airflow has null."""

    NONE = "none"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"
    RESTARTING = "restarting"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UP_FOR_RETRY = "up_for_retry"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    REMOVED = "removed"


RUN_RANK = {RunState.QUEUED: 0, RunState.RUNNING: 1, RunState.SUCCESS: 2, RunState.FAILED: 2}
TERMINAL_RUN = frozenset({RunState.SUCCESS, RunState.FAILED})

FINISHED_TASK = frozenset(
    {TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED, TaskState.UPSTREAM_FAILED, TaskState.REMOVED}
)
ACTIVE_TASK = frozenset(
    {
        TaskState.RUNNING,
        TaskState.DEFERRED,
        TaskState.AWAITING_INPUT,
        TaskState.RESTARTING,
        TaskState.UP_FOR_RESCHEDULE,
    }
)

WITHOUT_WORKER = frozenset({TaskState.DEFERRED, TaskState.UP_FOR_RESCHEDULE})
"""The active states in which the task waits without a worker. A task in the state awaiting_input
has no worker either, but is shown before tasks with a worker.
"""

RETRY_RANK = 4
TASK_RANK: dict[TaskState, int] = {
    TaskState.NONE: 0,
    TaskState.SCHEDULED: 1,
    TaskState.QUEUED: 2,
    **dict.fromkeys(ACTIVE_TASK, 3),  # within one try, a task may move between these states in any order
    TaskState.UP_FOR_RETRY: RETRY_RANK,
    **dict.fromkeys(FINISHED_TASK, 5),
}
"""The rank of each state of a task instance: how far the task instance is within one try."""

TERMINAL_PHASES = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})

TRANSITIONS: dict[Phase | None, frozenset[Phase]] = {
    None: frozenset({Phase.PENDING, Phase.SUSPENDED, Phase.CANCELLING, Phase.CANCELLED}),
    Phase.PENDING: frozenset(
        {Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.SUSPENDED, Phase.CANCELLING, Phase.CANCELLED}
    ),
    Phase.SUSPENDED: frozenset(
        {Phase.PENDING, Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLING, Phase.CANCELLED}
    ),
    Phase.QUEUED: frozenset(
        {Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.PENDING, Phase.SUSPENDED, Phase.CANCELLING}
    ),
    Phase.RUNNING: frozenset(
        {Phase.QUEUED, Phase.SUCCEEDED, Phase.FAILED, Phase.PENDING, Phase.SUSPENDED, Phase.CANCELLING}
    ),
    Phase.CANCELLING: frozenset(
        {Phase.CANCELLED, Phase.SUCCEEDED, Phase.FAILED, Phase.SUSPENDED, Phase.PENDING, Phase.QUEUED, Phase.RUNNING}
    ),
    Phase.SUCCEEDED: frozenset({Phase.PENDING, Phase.QUEUED, Phase.RUNNING, Phase.CANCELLING}),
    Phase.FAILED: frozenset({Phase.PENDING, Phase.QUEUED, Phase.RUNNING, Phase.CANCELLING}),
    Phase.CANCELLED: frozenset(),
}
"""The phases that may follow each phase, as in the state diagram in ``docs/spec/mljob.md``.

A finished MLJob changes its phase only with a new attempt: its spec changed under a runPolicy that
runs the changed spec, a user requested a retry, or somebody cleared its run in Airflow. Suspending
a backfill pauses the backfill while its active runs continue, so a suspended backfill may end.
"""


def task_state(name: str | None) -> TaskState:
    """Return the task state with this name in Airflow. None and an empty text mean NONE. An unknown
    state, which a later Airflow may add, counts as running.
    """
    if not name:
        return TaskState.NONE
    try:
        return TaskState(name)
    except ValueError:
        return TaskState.RUNNING


def run_state(name: str | None) -> RunState:
    """Return the run state with this name in Airflow. None and an empty text mean queued. An
    unknown state, which a later Airflow may add, counts as running.
    """
    try:
        return RunState(name or "queued")
    except ValueError:
        return RunState.RUNNING
