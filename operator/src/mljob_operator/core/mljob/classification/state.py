"""The state of an MLJob: its stage, and the facts from which the operator decides what to do next
and builds the status.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from ...airflow_instance.catalog import AirflowCatalog
from ...frozen import frozen
from ...run.observed_run import ObservedRun
from ...run.run_key import RunKey
from ..outstanding import wants_retry
from ..resource.job import Job
from ..transient_state import TransientState
from .backfill_pause import BackfillPause
from .cancellation import Cancellation, retry_at
from .confirmation import Confirmation
from .current import CurrentAttempt
from .deadlines import Deadlines
from .ending import Ending
from .inputs import Inputs
from .presence import Presence
from .spec_change import SpecChange, spec_change
from .starting import Start


class Stage(StrEnum):
    """The stage of an MLJob. An MLJob has exactly one stage at a time. In the following list, "the
    attempt" is the newest attempt.

    Attributes:
        BLOCKED: The MLJob should start a run now, but something other than a failed request
            prevents the start, such as an invalid spec or a limit on active runs.
        BACKING_OFF: A run is to be started later, after a failed attempt or a failed request.
        STARTING: The MLJob should start a run now, and nothing prevents the start.
        RUNNING: The run is in progress.
        CANCELLING: There is a reason to cancel the attempt, and the attempt is not over.
        COLLECTING: The run has ended, and the operator reads its tasks and outputs.
        ENDED: The attempt is over, and the stored status does not show this yet.
        STOPPED: The attempt is over, or there was no attempt yet. Suspension, cancellation, a
            deadline or deletion prevents another attempt.
        RETAINED: The MLJob is being deleted with deletionPolicy Retain. The attempt is over, or as
            far as the operator knows, Airflow has no run of the attempt. No run is started.
        FINISHED: The status shows how the MLJob ended, and no further run is to be started.
    """

    BLOCKED = "Blocked"
    BACKING_OFF = "BackingOff"
    STARTING = "Starting"
    RUNNING = "Running"
    CANCELLING = "Cancelling"
    COLLECTING = "Collecting"
    ENDED = "Ended"
    STOPPED = "Stopped"
    RETAINED = "Retained"
    FINISHED = "Finished"


@frozen
class State:
    """The state of one MLJob at one time.

    Attributes:
        change: How the spec has changed since the newest attempt began.
        backfill_pause: Whether the operator pauses or resumes the backfill, as ``spec.suspend``
            asks (:class:`.BackfillPause`). None if the operator does neither.
        start: The :class:`.Start` of the next run, or None if the MLJob neither starts a run now
            nor waits to start a run.
        retry_at: The time until which the last failure delays the next request to Airflow about the
            MLJob, or None if no failure delays the next request.
    """

    inputs: Inputs
    stage: Stage
    current: CurrentAttempt
    change: SpecChange
    deadlines: Deadlines
    cancellation: Cancellation
    backfill_pause: BackfillPause | None
    presence: Presence
    confirmation: Confirmation
    ending: Ending
    start: Start | None
    retry_at: datetime | None

    @property
    def job(self) -> Job:
        """The MLJob."""
        return self.inputs.job

    @property
    def observed_run(self) -> ObservedRun:
        """What the operator knows of the newest attempt's run."""
        return self.inputs.observed_run

    @property
    def transient(self) -> TransientState:
        """What only this process knows about the newest attempt, such as the results of requests to
        Airflow. The transient state is never stored.
        """
        return self.inputs.transient

    @property
    def now(self) -> datetime:
        """The time at which the state was computed."""
        return self.inputs.now

    @property
    def catalog(self) -> AirflowCatalog:
        """The Airflows that the operator knows, and what this MLJob may do with them."""
        return self.inputs.catalog

    @property
    def handles_retry(self) -> bool:
        """Whether the newest attempt carries out the retry that a user has requested, and
        ``lastHandledRetry`` in the stored status does not show this request yet.
        """
        return wants_retry(self.job) and self.current.open and (not self.current.recorded or self.start is not None)

    @property
    def run(self) -> RunKey:
        """The key of the newest attempt's run. Before the first attempt, the key of the run that
        the first attempt would have.
        """
        return self.current.run


def classify(inputs: Inputs) -> State:
    """Return the state of an MLJob."""
    current = CurrentAttempt.of(inputs)
    change = spec_change(inputs, current)
    deadlines = Deadlines.of(inputs, current)
    cancellation = Cancellation.of(inputs, current, change, deadlines)
    again_at = retry_at(inputs, cancellation.reason)
    presence = Presence.of(inputs, current)
    ending = Ending.of(inputs, current, deadlines, cancellation, presence)
    start = Start.of(inputs, current, change, cancellation, presence)
    return State(
        inputs=inputs,
        stage=_stage(inputs, current, cancellation, ending, start),
        current=current,
        change=change,
        deadlines=deadlines,
        cancellation=cancellation,
        backfill_pause=BackfillPause.of(inputs, cancellation),
        presence=presence,
        confirmation=Confirmation.of(inputs, current, again_at),
        ending=ending,
        start=start,
        retry_at=again_at,
    )


def _stage(
    inputs: Inputs, current: CurrentAttempt, cancellation: Cancellation, ending: Ending, start: Start | None
) -> Stage:
    if start is not None:
        if not start.due:
            return Stage.BACKING_OFF
        return Stage.STARTING if start.blocker is None else Stage.BLOCKED
    if current.finished:
        return Stage.FINISHED
    if ending.over:
        return Stage.ENDED
    if cancellation.reason is not None:
        return Stage.CANCELLING if current.open else Stage.STOPPED
    if not current.active:
        return Stage.RETAINED
    return Stage.COLLECTING if inputs.observed_run.over else Stage.RUNNING
