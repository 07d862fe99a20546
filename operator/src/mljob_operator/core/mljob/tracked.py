"""What this process knows of one MLJob."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..run.observed_run import Ledger
from ..run.outputs import Outputs
from .job import Job
from .transient_state import Effort


@dataclass(frozen=True, slots=True)
class TrackedJob:
    """One MLJob with all that this process knows of it. A value: whatever is learned makes a new one.

    Attributes:
        job: The MLJob as last read or written.
        ledger: What is known of the newest attempt's run.
        effort: What this process has tried for the attempt.
        outputs: What the run's tasks published; None: Airflow was not asked yet.
        confirmed_at: When a write was sent that the API server accepted, in the event loop's seconds: ``job`` was the latest version then.
    """

    job: Job
    ledger: Ledger = field(default_factory=Ledger)
    effort: Effort = field(default_factory=Effort)
    outputs: Outputs | None = None
    confirmed_at: float = float("-inf")
