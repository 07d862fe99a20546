"""Decides whether an MLJob's newest attempt is over: the run of the attempt has ended, was deleted,
or never existed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ...frozen import frozen
from ...run.states import RunState
from ..capabilities import capabilities
from .cancellation import Cancellation, CancelReason
from .current import CurrentAttempt
from .deadlines import Deadlines
from .inputs import Inputs
from .presence import Presence

OUTPUTS_WITHIN = timedelta(seconds=30)
"""The longest time that the final phase of an ended run waits for the run's tasks and outputs.
Clients that wait for the final phase read the outputs next.
"""


@frozen
class Ending:
    """Whether and how the newest attempt has ended.

    Attributes:
        over: Whether the attempt has ended, and the stored status still shows the attempt as
            unfinished. False while the operator waits for tasks and outputs of the run, or looks
            for runs that tasks of the run have started.
        children_due: Whether the run was cancelled, and the operator must still look for runs that
            tasks of the run have started.
        verdict_at: The latest time until which the operator waits for the tasks and outputs of the
            ended run. After this time, the status shows the end of the attempt without them. None
            if the run has not ended, if the operator has read the run's tasks and outputs, or if
            the stored status already shows the end of the attempt.
        cancelled_for: Why the attempt is cancelled. None if there is no reason for a cancellation,
            or if the run was submitted and the stored status does not have the phase Cancelling.
        succeeded: Whether the run succeeded. If so, a cancellation that was requested before the
            end of the run has no effect.
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
        """Return whether and how the newest attempt has ended."""
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
    """Return whether to look for runs that the cancelled run's tasks have started.

    If the result is False for a cancelled run that has failed, all later results for this run must
    be False too, because the status may already say that the attempt is over.
    """
    job, run = inputs.job, inputs.observed_run.run
    if cancellation.reason is None or not current.open or run is None or run.state is not RunState.FAILED:
        return False
    if not capabilities(job).has_children or inputs.transient.children_handled:
        return False
    timeout = timedelta(seconds=job.spec.cancellation.timeout_seconds)
    return not deadlines.overdue and inputs.now < (run.end or run.occurred_at) + timeout


def _verdict_at(inputs: Inputs, current: CurrentAttempt) -> datetime | None:
    run = inputs.observed_run.run
    if run is None or not run.ended or not current.open or inputs.transient.over_since is not None:
        return None
    return run.observed_at + OUTPUTS_WITHIN


def _awaits_results(inputs: Inputs, verdict_at: datetime | None) -> bool:
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
