"""Decides whether and when to start an MLJob's next run, and finds what prevents the start."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mljob_contract.mljob import MLJobStatus, Phase, RetryStrategy, RunPolicy
from mljob_contract.run_id import RunId

from ...airflow_instance.catalog import NO_AIRFLOW, Blocker, find_blocker, invalid_spec
from ...frozen import frozen
from ...run.states import TERMINAL_PHASES
from .. import attempts
from ..attempts import Attempt
from ..capabilities import capabilities
from ..outstanding import wants_retry
from ..resource.job import Job
from ..upstream import NO_DEPENDENCIES, Dependencies, dependencies
from .cancellation import Cancellation, CancelReason
from .current import CurrentAttempt
from .inputs import Inputs
from .presence import Presence
from .spec_change import SpecChange

_MISSED_DEADLINES = (CancelReason.DEADLINE, CancelReason.PRE_RUNNING)


@frozen
class Start:
    """The start of an MLJob's next run.

    Attributes:
        attempt: The attempt whose run is to be started: the attempt that the status describes
            already, or the next attempt.
        at: The time before which the run must not start, because of a failed request or the backoff
            of a retry. None if there is no such time.
        due: Whether ``at`` is None or not in the future.
        blocker: What prevents the start, or None. A failed request is not a blocker.
        superseded: Whether ``attempt`` replaces the attempt in the status. Has a meaning only if
            the run of the attempt in the status is not submitted yet.
        rerun: Whether the MLJob has finished, and its spec or a requested retry asks for another
            run.
        uncounted: Whether Airflow must still be asked how many runs of the spec it has, because
            the status names no run of the spec (runPolicy OncePerSpec). Until then, the run id of
            ``attempt`` is not final.
        needed: The MLJobs whose outputs the conf of the run takes.
    """

    attempt: Attempt
    at: datetime | None
    due: bool
    blocker: Blocker | None
    superseded: bool
    rerun: bool
    uncounted: bool
    needed: Dependencies

    @classmethod
    def of(
        cls,
        inputs: Inputs,
        current: CurrentAttempt,
        change: SpecChange,
        cancellation: Cancellation,
        presence: Presence,
    ) -> Start | None:
        """Return the :class:`Start` of the next run. Return None if the MLJob neither starts a run
        now nor waits to start a run.
        """
        job = inputs.job
        if job.deleting or cancellation.reason is not None or current.active:
            return None
        rerun = current.finished and not job.spec.cancel and (change is SpecChange.RENEWED or wants_retry(job))
        if current.finished and not rerun:
            return None
        superseded = _is_superseded(inputs, current, change, presence)
        takes_outputs = _takes_outputs(inputs, current, change, superseded=superseded)
        needed = dependencies(job, inputs.upstreams) if takes_outputs else NO_DEPENDENCIES
        superseded |= _has_other_outputs(current, needed, lost=inputs.transient.conf_lost)
        announced = current.attempt if current.open and not superseded else None
        attempt = announced or _next_attempt(inputs, current, change)
        if announced is None and takes_outputs and not _takes_over(inputs, current, attempt):
            attempt = replace(attempt, upstreams=needed.runs)
        at = _start_at(inputs, current, change)
        return cls(
            attempt=attempt,
            at=at,
            due=at is None or inputs.now >= at,
            blocker=_blocker(inputs, attempt, needed),
            superseded=superseded,
            rerun=rerun,
            uncounted=announced is None and _is_uncounted(inputs, current, attempt),
            needed=needed,
        )


def backoff_ends_at(job: Job) -> datetime | None:
    """Return the time at which the operator may retry the last attempt. Return None if the attempt
    has not ended, or is not to be retried.

    A retry that a user requests has the delay of a first retry, counted from the end of the
    attempt.
    """
    status = job.status
    if status.phase in TERMINAL_PHASES:
        at = status.completion_time if wants_retry(job) else None
    else:
        at = _failed_at(status)
    failures = 1 if wants_retry(job) else status.failed_attempts or 0
    return at + attempts.retry_delay(failures) if at is not None else None


def _failed_at(status: MLJobStatus) -> datetime | None:
    ended = (status.history or [])[-1] if attempts.closed(status) else None
    return ended.completion_time if ended is not None and ended.phase is Phase.FAILED else None


def _blocker(inputs: Inputs, attempt: Attempt, needed: Dependencies) -> Blocker | None:
    """Return the :class:`.Blocker` that prevents the start of an attempt, or None.

    If both a limit on active runs and missing outputs of other MLJobs prevent the start, return the
    Blocker for the missing outputs. The Blocker for the limit would put the MLJob into the queue of
    MLJobs that wait only for the limit. There the MLJob could take the place of an MLJob that can
    start.
    """
    if inputs.job.parsed.problem is not None:
        return invalid_spec(inputs.job.parsed.problem)
    found = find_blocker(inputs.catalog, attempt.airflow, attempt.dag_id)
    return found if found is not None and not found.is_limit else needed.blocker or found


def _takes_outputs(inputs: Inputs, current: CurrentAttempt, change: SpecChange, *, superseded: bool) -> bool:
    """Return whether the conf of the next run takes the current outputs of other MLJobs. Three
    kinds of attempts keep an earlier conf instead:

    - an attempt that clears the failed tasks of a run;
    - an attempt that repeats the failed runs of a backfill, unless Airflow no longer has this
      backfill and its conf;
    - any attempt after a change of the spec that runPolicy Once has refused.
    """
    if inputs.transient.conf_lost:
        return change is not SpecChange.REFUSED
    clears = current.by_clearing and not superseded if current.open else _is_to_be_cleared(inputs, change)
    return not clears and change is not SpecChange.REFUSED


def _takes_over(inputs: Inputs, current: CurrentAttempt, attempt: Attempt) -> bool:
    """Return whether an attempt takes over a run that Airflow already has (runPolicy OncePerSpec).
    The run keeps its conf.
    """
    if inputs.transient.conf_lost:
        return False
    status = inputs.job.status
    ran = {entry.dag_run_id for entry in status.history or ()} | ({status.dag_run_id} if current.finished else set())
    return attempt.run_id in ran or (inputs.run_count is not None and inputs.run_count.includes(attempt.run_id))


def _has_other_outputs(current: CurrentAttempt, needed: Dependencies, *, lost: bool) -> bool:
    """Return whether another attempt must replace the newest attempt, because the newest attempt
    did not take the outputs of ``needed.runs``, the current runs of the upstream MLJobs.

    Return False in any of these cases:

    - There is no attempt yet, or the newest attempt is over.
    - ``needed.runs`` is empty.
    - The newest attempt took no outputs, and ``lost`` is false. ``lost`` means that the attempt was
      to use the conf of an earlier backfill, but Airflow does not have this backfill any more.
    """
    attempt = current.attempt
    if not current.open or attempt is None or not (attempt.upstreams or lost) or not needed.runs:
        return False
    return attempt.upstreams != needed.runs


def _is_uncounted(inputs: Inputs, current: CurrentAttempt, attempt: Attempt) -> bool:
    job, count = inputs.job, inputs.run_count
    if job.spec.run_policy is not RunPolicy.ONCE_PER_SPEC or not capabilities(job).has_chosen_id:
        return False
    first, run = RunId.parse(inputs.first_run.run_id), RunId.parse(attempt.run_id)
    if first is None or run is None or first.digest != run.digest:
        return False  # the attempt goes on with a run that began under another runPolicy
    known = attempts.runs_of_spec(job, first.digest, unused=_unused(current))
    return not known and not (count is not None and count.complete)


def _start_at(inputs: Inputs, current: CurrentAttempt, change: SpecChange) -> datetime | None:
    last_error, times = inputs.transient.last_error, []
    if not current.open and change is not SpecChange.RENEWED:
        times.append(backoff_ends_at(inputs.job))
    if last_error is not None and last_error.generation == inputs.job.generation:
        times.append(last_error.retry_at)
    return max((at for at in times if at is not None), default=None)


def _is_superseded(inputs: Inputs, current: CurrentAttempt, change: SpecChange, presence: Presence) -> bool:
    # The backfill of a retry counts as absent until Airflow has created this backfill.
    run_is_lost = current.by_clearing and presence.absent and capabilities(inputs.job).has_chosen_id
    nothing_to_clear = inputs.transient.cleared_nothing or run_is_lost
    moved = current.open and not current.by_clearing and current.run.airflow != inputs.target != NO_AIRFLOW
    return change is SpecChange.RENEWED or nothing_to_clear or (moved and change is not SpecChange.REFUSED)


def _next_attempt(inputs: Inputs, current: CurrentAttempt, change: SpecChange) -> Attempt:
    status, last = inputs.job.status, current.attempt
    if last is None:
        return _run_of_its_own(inputs, None, change, 1)
    if current.open and current.by_clearing and inputs.transient.conf_lost:
        # The attempt still repeats the failed runs of the earlier backfill, with another conf.
        return attempts.same_run(last, last.number)
    if current.open:
        # The status announces the attempt, and its run was not submitted. Another attempt replaces
        # it, because the spec or the default Airflow has changed, or because there is nothing to
        # clear.
        attempt = _run_of_its_own(inputs, last, change, last.number, _unused(current))
        before = (status.history or [])[-1:]
        taken_over = [entry.dag_run_id for entry in before] == [attempt.run_id]
        # The spec is the same as that of an earlier run that succeeded, and the attempt takes over
        # that run. The attempt needs a new number, because with the old number the run would look
        # like a run that was cleared.
        return replace(attempt, number=last.number + 1) if taken_over else attempt
    if _is_to_be_cleared(inputs, change):
        return attempts.same_run(last, last.number + 1)
    return _run_of_its_own(inputs, last, change, last.number + 1)


def _unused(current: CurrentAttempt) -> str | None:
    """Return the run id of an attempt that another attempt replaces before its run was submitted, or
    None.
    """
    return current.attempt.run_id if current.open and not current.by_clearing and current.attempt else None


def _is_to_be_cleared(inputs: Inputs, change: SpecChange) -> bool:
    job = inputs.job
    phase, reason = attempts.last_end(job.status) or (None, None)
    if phase is not Phase.FAILED or reason == "DagRunDeleted":
        return False
    if reason in _MISSED_DEADLINES and not capabilities(job).repeats_cancelled:
        return False
    return job.spec.retry_strategy is RetryStrategy.CLEAR_FAILED and change is not SpecChange.RENEWED


def _run_of_its_own(
    inputs: Inputs, last: Attempt | None, change: SpecChange, number: int, unused: str | None = None
) -> Attempt:
    attempt = attempts.next_run(
        inputs.job, inputs.prefix, number, airflow=inputs.target, unused=unused, count=inputs.run_count
    )
    if last is None or change is not SpecChange.REFUSED:
        return attempt
    return replace(
        attempt, dag_id=last.dag_id, spec_hash=last.spec_hash, airflow=last.airflow, upstreams=last.upstreams
    )
