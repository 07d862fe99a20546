"""Decides why and how an MLJob's run is cancelled."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mljob_contract.mljob import CancellationStrategy, DeletionPolicy, Phase

from ...frozen import frozen
from ..capabilities import capabilities
from .current import CurrentAttempt
from .deadlines import Deadlines
from .inputs import Inputs
from .spec_change import SpecChange


class CancelReason(StrEnum):
    """The reason why a run is cancelled. The values appear in ``status.reason``. If several reasons
    apply, the operator uses the reason that this class lists first. Exceptions:

    - If the MLJob is being deleted with deletionPolicy Retain, no reason applies.
    - If the stored status already has PRE_RUNNING, DEADLINE does not replace PRE_RUNNING.
    - If the stored status already has SPEC_CHANGED, SUSPEND does not replace SPEC_CHANGED.
    """

    DELETED = "Cancelling"
    CANCEL = "CancelRequested"
    DEADLINE = "DeadlineExceeded"
    PRE_RUNNING = "PreRunningDeadlineExceeded"
    SUSPEND = "Suspending"
    SPEC_CHANGED = "SpecChanged"


CANCEL_REASONS = frozenset(CancelReason)


@frozen
class Cancellation:
    """Whether, why and how the run of the MLJob's newest attempt is cancelled.

    Attributes:
        reason: Why the run must not start or continue. None if there is no such reason, or if the
            MLJob has ended and is not being deleted.
        announced: The reason of the cancellation in the stored status, or None if the stored status
            has no cancellation. A cancellation in the stored status continues even if its cause
            disappears, except in two cases: the MLJob is being deleted with deletionPolicy Retain,
            or the cause is a suspension and the run is ``pausable``.
        pausable: Whether suspending pauses the run instead of cancelling it. Only a backfill that
            exists in Airflow can be paused.
        by_dag: Whether the cancellation DAG is to cancel the run, as ``spec.cancellation.strategy``
            says. False for a backfill.
        asked_in_vain: Whether one of these statements is true:

            - The run continued after the operator had asked Airflow's REST API to cancel the run.
            - Airflow does not have the run.
            - The last request about the MLJob failed. A failed request to start the run does not
              count.

            Ignore this attribute once the operator knows that the run has ended.
    """

    reason: CancelReason | None
    announced: CancelReason | None
    pausable: bool
    by_dag: bool
    asked_in_vain: bool

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt, change: SpecChange, deadlines: Deadlines) -> Cancellation:
        """Return the Cancellation for the run of the MLJob's newest attempt."""
        job = inputs.job
        can = capabilities(job)
        pausable = can.pausable and current.active
        announced = _announced(inputs, current)
        return cls(
            reason=_reason(inputs, current, change, deadlines, announced, pausable=pausable),
            announced=announced,
            pausable=pausable,
            by_dag=job.spec.cancellation.strategy is CancellationStrategy.DAG and can.cancelled_by_dag,
            asked_in_vain=_asked_in_vain(inputs),
        )


def retry_at(inputs: Inputs, reason: CancelReason | None) -> datetime | None:
    """Return the time until which the last failure delays the next request to Airflow about the
    MLJob. Return None if no failure delays the next request.

    Failures of an older generation of the MLJob are ignored. If the run is to be cancelled
    (``reason`` is not None), failures to start the run are ignored too.
    """
    last_error = inputs.transient.last_error
    if (
        last_error is None
        or last_error.generation != inputs.job.generation
        or (last_error.starting and reason is not None)
    ):
        return None
    return last_error.retry_at


def _announced(inputs: Inputs, current: CurrentAttempt) -> CancelReason | None:
    status = inputs.job.status
    if current.recorded and status.phase is Phase.CANCELLING and status.reason in CANCEL_REASONS:
        return CancelReason(status.reason)
    return None


def _reason(
    inputs: Inputs,
    current: CurrentAttempt,
    change: SpecChange,
    deadlines: Deadlines,
    announced: CancelReason | None,
    *,
    pausable: bool,
) -> CancelReason | None:
    job, spec = inputs.job, inputs.job.spec
    if job.deleting:
        return CancelReason.DELETED if spec.deletion_policy is DeletionPolicy.CANCEL else None
    if current.finished:
        return None
    if spec.cancel:
        return CancelReason.CANCEL
    if announced not in (None, CancelReason.SUSPEND, CancelReason.SPEC_CHANGED):
        return announced
    if (missed := _missed_deadline(inputs.now, deadlines)) is not None:
        return missed
    if announced is not None and not (announced is CancelReason.SUSPEND and pausable):
        return announced
    if spec.suspend and not pausable:
        return CancelReason.SUSPEND
    return CancelReason.SPEC_CHANGED if current.active and change is SpecChange.RENEWED else None


def _missed_deadline(now: datetime, deadlines: Deadlines) -> CancelReason | None:
    if deadlines.active is not None and now >= deadlines.active:
        return CancelReason.DEADLINE
    if deadlines.pre_running is not None and now >= deadlines.pre_running and not deadlines.start_unconfirmed:
        return CancelReason.PRE_RUNNING
    return None


def _asked_in_vain(inputs: Inputs) -> bool:
    transient = inputs.transient
    directly_at, looked_at = transient.cancel_requests.sent_at, transient.looked_up_at
    if directly_at is not None and looked_at is not None and looked_at >= directly_at:
        return True
    return inputs.observed_run.not_found or (transient.last_error is not None and not transient.last_error.starting)
