"""Whether the newest attempt is over: its run has ended, was deleted, or never existed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..run.states import RunState
from .cancellation import Cancellation, CancelReason
from .current import CurrentAttempt
from .deadlines import Deadlines
from .inputs import Inputs
from .presence import Presence

OUTPUTS_WITHIN = timedelta(seconds=30)
"""How long the final phase of a run that has ended waits for the run's tasks and outputs, because
clients that wait for the phase read the outputs next.
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of the newest attempt.

    Attributes:
        over: Whether the attempt is over, and the status does not say so yet.
        children_due: Whether the run was cancelled, and the operator is still to look for runs that
            its tasks had started.
        verdict_at: When a run that has ended gets its final phase without its tasks and outputs,
            because Airflow can't be asked for them.
        cancelled_for: Why an attempt that is over was cancelled; None: it ended by itself, a moment
            before a cancellation was announced.
        succeeded: Whether the run succeeded. A cancellation that was requested meanwhile has no
            effect then.
    """

    over: bool
    children_due: bool
    verdict_at: datetime | None
    cancelled_for: CancelReason | None
    succeeded: bool

    @classmethod
    def of(
        cls,
        inputs: Inputs,
        current: CurrentAttempt,
        deadlines: Deadlines,
        cancellation: Cancellation,
        presence: Presence,
    ) -> Ending:
        """Whether the attempt is over."""
        observed_run = inputs.observed_run
        children_due = _children_due(inputs, current, deadlines, cancellation)
        verdict_at = _verdict_at(inputs, current)
        over = False
        if current.open and current.recorded:
            if observed_run.over:
                over = not children_due and not _awaits_results(inputs, verdict_at)
            else:
                over = presence.absent and (current.submitted or cancellation.reason is not None)
        announced = not current.submitted or cancellation.announced is not None
        return cls(
            over=over,
            children_due=children_due,
            verdict_at=verdict_at,
            cancelled_for=cancellation.reason if announced else None,
            succeeded=observed_run.run is not None and observed_run.run.state is RunState.SUCCESS,
        )


def _children_due(inputs: Inputs, current: CurrentAttempt, deadlines: Deadlines, cancellation: Cancellation) -> bool:
    """Whether to look for runs that the cancelled run's tasks had started.

    The cancellation's timeout and a deletion's deadline end the search. No condition that may
    become true again ends it, because the status says how the attempt ended as soon as this is
    false.
    """
    job, run = inputs.job, inputs.observed_run.run
    if cancellation.reason is None or not current.open or run is None or run.state is not RunState.FAILED:
        return False
    if job.is_backfill or inputs.transient.children_handled:
        return False
    patience = timedelta(seconds=job.spec.cancellation.timeout_seconds)
    return not deadlines.overdue and inputs.now < (run.end or run.occurred_at) + patience


def _verdict_at(inputs: Inputs, current: CurrentAttempt) -> datetime | None:
    run = inputs.observed_run.run
    if run is None or not run.ended or not current.open or inputs.transient.over_since is not None:
        return None
    return run.observed_at + OUTPUTS_WITHIN


def _awaits_results(inputs: Inputs, verdict_at: datetime | None) -> bool:
    """Whether the tasks and outputs of the ended run are still to be read."""
    job, observed_run = inputs.job, inputs.observed_run
    nothing_to_read = (
        not job.has_finalizer
        or observed_run.listed
        or observed_run.not_found
        or job.deleting
        or observed_run.observed_backfill is not None
    )
    read = inputs.transient.over_since is not None
    too_late = verdict_at is not None and inputs.now >= verdict_at
    return not (nothing_to_read or read or too_late)
