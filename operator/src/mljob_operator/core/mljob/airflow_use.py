"""How an MLJob uses its Airflow: whether the operator can reach and needs this Airflow for the
MLJob, and how the MLJob counts against the limits on active runs.
"""

from __future__ import annotations

from ..airflow_instance.admission import Reservation
from .classification.state import State


def is_lost(state: State) -> bool:
    """Return whether the MLJob has an active run in an Airflow that is no longer configured."""
    return state.current.active and not state.catalog.knows(state.run.airflow)


def is_reachable(state: State) -> bool:
    """Return whether the Airflow of the run is configured, and was ready at the last check."""
    airflow = state.run.airflow
    return state.catalog.knows(airflow) and airflow not in state.catalog.not_ready


def needs_airflow(state: State) -> bool:
    """Return whether the operator may still send requests about the newest attempt's run.

    The result is False if the MLJob has no attempt, or does not have the operator's finalizer.
    Otherwise the result is True in two cases:

    - The MLJob is finished. The operator may still read the run's tasks and outputs.
    - The newest attempt is not over, and its run exists or may exist in Airflow.
    """
    current, presence = state.current, state.presence
    if current.attempt is None or not state.job.has_finalizer:
        return False
    return current.finished or (current.open and (current.submitted or not (presence.absent or presence.unsent)))


def reservation(state: State) -> Reservation | None:
    """Return the reservation of an MLJob under the limits on active runs, or None. An MLJob has a
    reservation in each of these cases:

    - The MLJob has an active run, or may have an active run.
    - The MLJob can start a run now.
    - Only a limit on active runs prevents the start of a run.
    """
    current, start = state.current, state.start
    holds = current.submitted or state.presence.in_doubt
    if holds and current.open and not state.ending.over and not state.observed_run.over:
        return active_reservation(state)
    if start is None or not start.due or (start.blocker is not None and not start.blocker.is_limit):
        return None
    return state.catalog.reservation(start.attempt.airflow, start.attempt.dag_id, active=False)


def active_reservation(state: State) -> Reservation:
    """Return the reservation of an MLJob for the run of its newest attempt. The run counts as
    active, even if its submission is still under way.
    """
    return state.catalog.reservation(state.run.airflow, state.run.dag_id, active=True)
