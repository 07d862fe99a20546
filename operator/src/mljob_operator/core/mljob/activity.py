"""Functions that return whether the run of an MLJob is in progress, and whether the run may change
without an event.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ..run.states import ACTIVE_TASK
from .classification.state import State

CHANGE_FOLLOWS_WITHIN = timedelta(seconds=3)
"""How long the operator expects changes that no event reports, after an event of a run in a
backfill. Such changes are the end of that run, if only tasks send events, and the start of the next
run of the backfill.
"""


def is_in_progress(state: State) -> bool:
    """Return whether the MLJob has a run in Airflow that has not ended, as far as the operator
    knows.
    """
    return state.current.active and state.observed_run.run is not None and not state.observed_run.over


def is_still(state: State) -> bool:
    """Return whether none of the run's known tasks is active, for example because the DAG is paused.
    The active states (``ACTIVE_TASK``) are running, deferred, awaiting_input, restarting and
    up_for_reschedule.
    """
    return not any(fact.state in ACTIVE_TASK for fact in state.observed_run.tasks.values())


def is_hot(state: State, now: datetime) -> bool:
    """Return whether at least one of these statements is true:

    - The run is likely to change without an event (:func:`expects_change`).
    - The MLJob is a backfill in progress, and the last event about a run of the backfill was read
      less than 3 seconds ago (:func:`has_recent_event`).

    While the result is True, the operator asks the run's Airflow for recent changes more often.
    """
    at = last_event_at(state)
    return expects_change(state) or (state.current.active and at is not None and has_recent_event(at, now))


def expects_change(state: State) -> bool:
    """Return whether the run is likely to change without an event. The result is False if the
    newest attempt has no run in Airflow or is over. Otherwise the result is True in each of these
    cases:

    - The run is being cancelled.
    - The operator knows the run, but not all tasks of the run.
    - All known tasks have ended, but the run has not.
    """
    if not state.current.active:
        return False
    observed_run = state.observed_run
    cancelling = state.cancellation.reason is not None
    unlisted = observed_run.run is not None and not observed_run.complete
    return cancelling or unlisted or observed_run.all_tasks_ended


def last_event_at(state: State) -> datetime | None:
    """Return the time at which the operator read the last event about a run of the MLJob's
    backfill. Return None if there was no such event, or if the operator knows no backfill of the
    MLJob.
    """
    observed_backfill = state.observed_run.observed_backfill
    return observed_backfill.last_event_at if observed_backfill is not None else None


def has_recent_event(at: datetime, now: datetime) -> bool:
    """Return whether less than ``CHANGE_FOLLOWS_WITHIN`` (3 seconds) has passed between ``at``, the
    time of a backfill's last event, and ``now``.
    """
    return now - at < CHANGE_FOLLOWS_WITHIN
