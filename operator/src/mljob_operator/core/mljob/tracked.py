"""Everything that this operator process knows of one MLJob."""

from __future__ import annotations

from dataclasses import field

from ..frozen import frozen
from ..run.observed_run import ObservedRun
from ..run.outputs import Outputs
from .resource.job import Job
from .transient_state import TransientState


@frozen
class TrackedJob:
    """One MLJob with everything that this operator process knows of it. The object is immutable.

    Attributes:
        job: The MLJob as last read or written.
        observed_run: What the operator knows of the newest attempt's run.
        transient: What only this process knows about the newest attempt, for example the last
            request that failed.
        outputs: The outputs of the newest attempt's run. None if the operator has not read the
            outputs from Airflow.
        confirmed_at: When the operator last sent a status patch that confirmed that ``job`` is the
            newest version of the MLJob, in seconds of the event loop's clock. Minus infinity before
            the first such patch.
    """

    job: Job
    observed_run: ObservedRun = field(default_factory=ObservedRun)
    transient: TransientState = field(default_factory=TransientState)
    outputs: Outputs | None = None
    confirmed_at: float = float("-inf")
