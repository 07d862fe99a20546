"""Whether ``spec.suspend`` pauses or resumes a backfill. :mod:`..run.halt` is about paused DAGs."""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.mljob import Phase

from .cancellation import Cancellation, CancelReason
from .inputs import Inputs

RESUMING = "Resuming"
"""The reason in the status while a backfill is to be resumed and Airflow has not accepted that."""


@dataclass(frozen=True, slots=True)
class Pausing:
    """What ``spec.suspend`` means for a backfill in progress.

    Attributes:
        wanted: True: the backfill is to be paused. False: the backfill is to be resumed.
        announced: Whether the status says that the MLJob has paused the backfill, or has requested
            that.
        done: Whether Airflow has accepted the pause, or the resumption.
    """

    wanted: bool
    announced: bool
    done: bool

    @classmethod
    def of(cls, inputs: Inputs, cancellation: Cancellation) -> Pausing | None:
        """None: there is nothing to pause or resume. A backfill that a person paused in Airflow
        stays paused until the MLJob is suspended and resumed.
        """
        if not cancellation.pausable or cancellation.reason is not None:
            return None
        announced = _announced(inputs)
        if not inputs.job.spec.suspend and not announced:
            return None
        wanted = inputs.job.spec.suspend
        return cls(wanted, announced, _is_done(inputs, wanted=wanted))


def _announced(inputs: Inputs) -> bool:
    status = inputs.job.status
    told = (condition.reason for condition in status.conditions or () if condition.type == "Suspended")
    return status.phase is Phase.SUSPENDED or next(told, None) in (CancelReason.SUSPEND, RESUMING)


def _is_done(inputs: Inputs, *, wanted: bool) -> bool:
    """Whether Airflow has accepted the pause or the resumption. Only Airflow's answer to the
    request proves a resumption: an older answer may be from before the pause, or another process's.
    """
    observed_backfill = inputs.observed_run.observed_backfill
    if wanted:
        return observed_backfill is not None and observed_backfill.backfill.paused
    return inputs.transient.resumed == inputs.job.generation
