"""Everything that this process knows of one MLJob, in one immutable object."""

from __future__ import annotations

from dataclasses import field

from ..frozen import frozen
from ..run.observed_run import ObservedRun
from ..run.outputs import Outputs
from .resource.job import Job
from .transient_state import TransientState


@frozen
class TrackedJob:
    """One MLJob with everything that this process knows of it. The object is immutable: each change
    creates a new object.

    Attributes:
        job: The MLJob as last read or written.
        observed_run: What the operator knows of the newest attempt's run.
        transient: What this process has tried for the newest attempt.
        outputs: What the run's tasks published, or None if Airflow was not asked yet.
        confirmed_at: The time at which the operator sent the last confirming status patch. A status
            patch is confirming if its answer shows that no other client had changed the MLJob since
            the operator last read or wrote the MLJob. In seconds of the event loop's clock. Minus
            infinity before the first confirming patch.
    """

    job: Job
    observed_run: ObservedRun = field(default_factory=ObservedRun)
    transient: TransientState = field(default_factory=TransientState)
    outputs: Outputs | None = None
    confirmed_at: float = float("-inf")
