"""An MLJob that is not finished, as the resync sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from .core.halt import Halt
from .core.job import Job
from .core.ledger import Ledger
from .core.mljob.state import State
from .core.phases import ACTIVE_TASK
from .core.run_key import RunKey

STIRRED_FOR = timedelta(seconds=3)
"""How long after an event of a backfill's run more is expected that gives no event: its end, where the events are those of tasks, and the
start of the next one."""


@dataclass(frozen=True, slots=True)
class Live:
    """An MLJob that is not finished, as the resync sees it.

    Attributes:
        run: Its dag run.
        ledger: What is known of the run.
        halt: Why the run's DAG schedules nothing, as far as is known.
        submitted: Whether there is a run in progress.
        stopping: Whether that is being cancelled.
        backfill: Whether it is a backfill.
        stirred: Whether one of the backfill's runs was heard of a moment ago.
    """

    job: Job
    run: RunKey
    ledger: Ledger
    halt: Halt | None
    submitted: bool
    stopping: bool
    backfill: bool
    stirred: bool

    @classmethod
    def of(cls, s: State) -> Live:
        """An MLJob in this state."""
        submitted = s.current.active
        heard = s.ledger.course.stirred if s.ledger.course is not None else None
        return cls(
            s.job,
            s.run,
            s.ledger,
            s.effort.halt,
            submitted,
            stopping=submitted and s.cancellation.reason is not None,
            backfill=s.job.is_backfill,
            stirred=heard is not None and s.now - heard < STIRRED_FOR,
        )

    @property
    def in_progress(self) -> bool:
        """Whether there is a run that has not ended, as far as is known."""
        return self.submitted and self.ledger.run is not None and not self.ledger.over

    @property
    def still(self) -> bool:
        """Whether no task of the run is at work, as when its DAG schedules nothing."""
        return not any(fact.state in ACTIVE_TASK for fact in self.ledger.tasks.values())

    @property
    def hot(self) -> bool:
        """Whether a change is expected at any moment that may come without an event."""
        started = self.ledger.run is not None and not self.ledger.complete
        return self.submitted and (self.stopping or self.ledger.settling or started or self.stirred)
