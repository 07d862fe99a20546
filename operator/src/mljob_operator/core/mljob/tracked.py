"""What this process knows of one MLJob."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..run.observed_run import ObservedRun
from ..run.outputs import Outputs
from .job import Job
from .transient_state import TransientState


@dataclass(frozen=True, slots=True)
class TrackedJob:
    """One MLJob with all that this process knows of it. A value: every change makes a new one.

    Attributes:
        job: The MLJob as last read or written.
        observed_run: What is known of the newest attempt's run.
        transient: What this process has tried for the attempt.
        outputs: What the run's tasks published; None: Airflow was not asked yet.
        confirmed_at: When the last write that the API server accepted was sent, in seconds of the
            event loop's clock. ``job`` was the latest version at that time.
    """

    job: Job
    observed_run: ObservedRun = field(default_factory=ObservedRun)
    transient: TransientState = field(default_factory=TransientState)
    outputs: Outputs | None = None
    confirmed_at: float = float("-inf")
