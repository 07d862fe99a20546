"""The deadlines of an MLJob and of its deletion, and the end of its time to live."""

from __future__ import annotations

from datetime import datetime, timedelta

from mljob_contract.mljob import Phase

from ...frozen import frozen
from ...run.observed_run import ObservedRun
from ...run.states import ACTIVE_TASK, TERMINAL_PHASES, RunState, TaskState
from .. import attempts
from ..capabilities import capabilities
from ..resource.job import Job
from .current import CurrentAttempt
from .inputs import Inputs

_STARTED = ACTIVE_TASK | {TaskState.UP_FOR_RETRY, TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED}


@frozen
class Deadlines:
    """The deadlines of an MLJob. A time is None if the MLJob has no such deadline.

    Attributes:
        active: When ``spec.activeDeadlineSeconds`` ends.
        pre_running: When ``spec.preRunningDeadlineSeconds`` ends: a task of the attempt, or a run
            of the backfill, must have started by then. Also None if Airflow's REST API has shown
            such a start.
        start_unconfirmed: Whether the operator must read the run from Airflow's REST API before it
            cancels the run because of ``pre_running``. This is so if ``pre_running`` has passed,
            the run was not read since, and there is an event that the REST API has not confirmed.
            The event may report that a task, or a run of the backfill, has started.
        deletion: When the deletion of the MLJob stops waiting for Airflow to cancel the run
            (``spec.cancellation.timeoutSeconds``).
        overdue: Whether ``deletion`` has passed.
        expiry: When the finished MLJob is deleted (``spec.ttlSecondsAfterFinished``).
    """

    active: datetime | None
    pre_running: datetime | None
    start_unconfirmed: bool
    deletion: datetime | None
    overdue: bool
    expiry: datetime | None

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt) -> Deadlines:
        """Return the deadlines of the MLJob and its newest attempt."""
        job = inputs.job
        pre_running = _pre_running(inputs, current)
        deletion = None
        if job.deleted_at is not None:
            deletion = job.deleted_at + timedelta(seconds=job.spec.cancellation.timeout_seconds)
        return cls(
            active=_active(inputs, current),
            pre_running=pre_running,
            start_unconfirmed=_start_unconfirmed(inputs, current, pre_running),
            deletion=deletion,
            overdue=deletion is not None and inputs.now >= deletion,
            expiry=expires_at(job) if current.finished else None,
        )


def expires_at(job: Job) -> datetime | None:
    """Return when the finished MLJob is to be deleted. Return None if the MLJob has not finished,
    has no time to live, or is being deleted already.

    The time to live begins at ``status.completionTime``, but not before the creation of the MLJob.
    """
    ttl, ended = job.spec.ttl_seconds_after_finished, job.status.completion_time
    if ttl is None or ended is None or job.status.phase not in TERMINAL_PHASES or job.deleting:
        return None
    return max(ended, job.created_at or ended) + timedelta(seconds=ttl)


def _active(inputs: Inputs, current: CurrentAttempt) -> datetime | None:
    seconds, since = inputs.job.spec.active_deadline_seconds, current.status.active_since
    if seconds is None or since is None or current.finished:
        return None
    return since + timedelta(seconds=seconds)


def _pre_running(inputs: Inputs, current: CurrentAttempt) -> datetime | None:
    job = inputs.job
    seconds, since = job.spec.pre_running_deadline_seconds, current.status.active_since
    if seconds is None or since is None or current.finished:
        return None
    if current.open and _has_started(inputs.observed_run, has_tasks=capabilities(job).has_tasks):
        return None
    if history := job.status.history:
        last = history[-1]
        backoff = attempts.retry_delay(job.status.failed_attempts or 0) if last.phase is Phase.FAILED else timedelta(0)
        since = max(since, last.completion_time + backoff)
    return since + timedelta(seconds=seconds)


def _has_started(observed_run: ObservedRun, *, has_tasks: bool) -> bool:
    """Return whether Airflow's REST API has shown that a task of the run, or a run of the backfill,
    has started. An ended run counts as started.
    """
    run = observed_run.run
    if observed_run.over or not has_tasks:
        return run is not None and run.state is not RunState.QUEUED
    return any(fact.shown_state in _STARTED and not fact.unconfirmed for fact in observed_run.tasks.values())


def _start_unconfirmed(inputs: Inputs, current: CurrentAttempt, pre_running: datetime | None) -> bool:
    looked_at = inputs.transient.looked_up_at
    if pre_running is None or inputs.now < pre_running or (looked_at is not None and looked_at >= pre_running):
        return False
    return current.active and inputs.observed_run.unconfirmed_since is not None
