"""Functions that check a run after the end of its attempt."""

from __future__ import annotations

from ..run.facts import queued_again
from . import attempts
from .classification.state import State


def was_cleared(state: State) -> bool:
    """Return whether somebody has cleared the run in Airflow after the run's end. The result is
    False if ``spec.cancel`` is true, or if the attempt ended without a run.
    """
    status, run = state.job.status, state.observed_run.run
    ended = attempts.ended_at(status)
    if not state.current.recorded or state.job.spec.cancel or run is None or run.queued_at is None or ended is None:
        return False
    return queued_again(run.queued_at, status.submit_time, ended) and not state.current.given_up


def arrived_late(state: State) -> bool:
    """Return whether the run is in progress, although its attempt has ended without a run, because
    the submission reached Airflow too late.
    """
    return state.current.given_up and state.observed_run.run is not None and not state.observed_run.over
