"""Functions that check the run of an MLJob's newest attempt after the end of this attempt."""

from __future__ import annotations

from ..run.facts import queued_again
from . import attempts
from .classification.state import State


def was_cleared(state: State) -> bool:
    """Return whether somebody has cleared the run of the newest attempt in Airflow, after the end of
    this attempt. The result is False if ``spec.cancel`` is true, or if the operator knew of no run
    when the attempt ended.
    """
    status, run = state.job.status, state.observed_run.run
    ended = attempts.ended_at(status)
    if not state.current.recorded or state.job.spec.cancel or run is None or run.queued_at is None or ended is None:
        return False
    return queued_again(run.queued_at, status.submit_time, ended) and not state.current.given_up


def arrived_late(state: State) -> bool:
    """Return whether a run of the newest attempt is in progress, although the operator knew of no
    run when this attempt ended. The submission of such a run reached Airflow too late.
    """
    return state.current.given_up and state.observed_run.run is not None and not state.observed_run.over
