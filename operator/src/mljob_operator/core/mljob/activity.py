"""Whether the run of an MLJob moves, and whether a change is to be expected that gives no event."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..run.states import ACTIVE_TASK
from .state import State

STIRRED_FOR = timedelta(seconds=3)
"""How long after an event of a backfill's run a change is expected that gives no event: the run's end, where the events are those of tasks, and the start of the
next run."""


def is_in_progress(state: State) -> bool:
    """Whether there is a run that has not ended, as far as is known."""
    return state.current.active and state.ledger.run is not None and not state.ledger.over


def is_still(state: State) -> bool:
    """Whether no task of the run is at work, as where its DAG schedules nothing."""
    return not any(fact.state in ACTIVE_TASK for fact in state.ledger.tasks.values())


def is_hot(state: State, now: datetime) -> bool:
    """Whether a change is expected at any moment that may come without an event."""
    if not state.current.active:
        return False
    ledger = state.ledger
    cancelling = state.cancellation.reason is not None
    unlisted = ledger.run is not None and not ledger.complete
    return cancelling or unlisted or ledger.settling or _is_stirred(state, now)


def _is_stirred(state: State, now: datetime) -> bool:
    course = state.ledger.course
    return course is not None and course.stirred is not None and now - course.stirred < STIRRED_FOR
