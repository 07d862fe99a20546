"""Functions that return whether an MLJob needs its Airflow, and whether the MLJob counts against
the limits on active runs.
"""

from __future__ import annotations

from ..airflow_instance.admission import Reservation
from .classification.state import State


def is_lost(state: State) -> bool:
    """Return whether the operator no longer knows the Airflow of the run: its AirflowInstance was
    deleted, or the operator's settings no longer name the Airflow.
    """
    return state.current.active and not state.catalog.knows(state.run.airflow)


def is_reachable(state: State) -> bool:
    """Return whether the Airflow of the run was ready at the last check."""
    airflow = state.run.airflow
    return state.catalog.knows(airflow) and airflow not in state.catalog.not_ready


def needs_airflow(state: State) -> bool:
    """Return whether the operator still needs the Airflow of the attempt's run: to follow the run,
    to cancel the run, or to read its tasks and outputs. The result is True also if the operator
    does not know whether the run exists. The result is False if the MLJob doesn't have the
    operator's finalizer.
    """
    current, presence = state.current, state.presence
    if current.attempt is None or not state.job.has_finalizer:
        return False
    return current.finished or (current.open and (current.submitted or not (presence.absent or presence.unsent)))


def reservation(state: State) -> Reservation | None:
    """Return the reservation of an MLJob. With a reservation, the MLJob counts against the limits
    on active runs of an Airflow, or waits until these limits allow its run. An MLJob has a
    reservation if it certainly or possibly has an active run, if it can start a run now, or if only
    a limit on active runs prevents the start. Otherwise return None.
    """
    current, start = state.current, state.start
    holds = current.submitted or state.presence.in_doubt
    if holds and current.open and not state.ending.over and not state.observed_run.over:
        return active_reservation(state)
    if start is None or not start.due or (start.blocker is not None and not start.blocker.is_limit):
        return None
    return state.catalog.reservation(start.attempt.airflow, start.attempt.dag_id, active=False)


def active_reservation(state: State) -> Reservation:
    """Return the reservation of an MLJob for the run of its newest attempt. The reservation counts
    the run as active, even if its submission is still under way.
    """
    return state.catalog.reservation(state.run.airflow, state.run.dag_id, active=True)
