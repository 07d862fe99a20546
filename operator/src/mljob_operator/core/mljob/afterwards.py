"""Functions that return whether something has happened to a run after its attempt ended: somebody
has cleared the run, or the run has appeared in Airflow only after the end of the attempt.
"""

from __future__ import annotations

from ..run.facts import queued_again
from . import attempts
from .classification.state import State


def was_cleared(state: State) -> bool:
    """Return whether somebody has cleared the run in Airflow after its end. Airflow then queues the
    run again, so the run has a later queue time. The result is False if ``spec.cancel`` is true, or
    if the attempt was given up (it ended without a run).
    """
    status, run = state.job.status, state.observed_run.run
    ended = attempts.ended_at(status)
    if not state.current.recorded or state.job.spec.cancel or run is None or run.queued_at is None or ended is None:
        return False
    return queued_again(run.queued_at, status.submit_time, ended) and not state.current.given_up


def arrived_late(state: State) -> bool:
    """Return whether a run is in progress that Airflow did not have when its attempt ended. This
    happens if the submission reaches Airflow after the operator has looked for the run.
    """
    return state.current.given_up and state.observed_run.run is not None and not state.observed_run.over
