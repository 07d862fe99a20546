"""Decides whether the operator pauses or resumes a backfill, depending on ``spec.suspend``."""

from __future__ import annotations

from mljob_contract.mljob import Phase

from ...frozen import frozen
from .cancellation import Cancellation, CancelReason
from .inputs import Inputs

RESUMING = "Resuming"
"""The reason in the status until Airflow has accepted the request to resume a backfill."""


@frozen
class BackfillPause:
    """The pause or the resumption of a backfill in progress.

    Attributes:
        pauses: True if the backfill is to be paused, False if it is to be resumed.
        announced: Whether the stored status shows that the operator is pausing, has paused or is
            resuming the backfill.
        done: If ``pauses`` is True, whether the operator knows that Airflow has paused the
            backfill. Otherwise, whether the operator knows that Airflow has resumed the backfill.
    """

    pauses: bool
    announced: bool
    done: bool

    @classmethod
    def of(cls, inputs: Inputs, cancellation: Cancellation) -> BackfillPause | None:
        """Return the pause if ``spec.suspend`` is true, or the resumption if ``spec.suspend`` is
        false.

        Return None in any of these cases:

        - The MLJob has no backfill in progress.
        - The backfill has to be cancelled.
        - ``spec.suspend`` is false, and the stored status shows neither a pause nor a resumption by
          the operator. So the operator does not resume a backfill that a person has paused in
          Airflow.
        """
        if not cancellation.pausable or cancellation.reason is not None:
            return None
        announced = _announced(inputs)
        if not inputs.job.spec.suspend and not announced:
            return None
        pauses = inputs.job.spec.suspend
        return cls(pauses, announced, _is_done(inputs, pauses=pauses))


def _announced(inputs: Inputs) -> bool:
    status = inputs.job.status
    reasons = (condition.reason for condition in status.conditions or () if condition.type == "Suspended")
    return status.phase is Phase.SUSPENDED or next(reasons, None) in (CancelReason.SUSPEND, RESUMING)


def _is_done(inputs: Inputs, *, pauses: bool) -> bool:
    """If ``pauses`` is true, return whether the operator knows that Airflow has paused the backfill.
    Otherwise, return whether the operator knows that Airflow has resumed the backfill.

    Only Airflow's answer to the request to resume proves a resumption. Another answer that says
    that the backfill is not paused may be from the time before the pause.
    """
    observed_backfill = inputs.observed_run.observed_backfill
    if pauses:
        return observed_backfill is not None and observed_backfill.backfill.paused
    return inputs.transient.resumed == inputs.job.generation
