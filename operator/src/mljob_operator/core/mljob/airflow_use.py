"""What an MLJob has in its Airflow, and whether it still needs that Airflow."""

from __future__ import annotations

from ..airflow_instance.admission import Reservation
from .state import State


def is_lost(state: State) -> bool:
    """Whether the operator no longer knows the Airflow of the run: its AirflowInstance was deleted,
    or the setting that names it was removed.
    """
    return state.current.active and not state.catalog.knows(state.run.airflow)


def is_reachable(state: State) -> bool:
    """Whether the Airflow of the run can be asked now, as far as is known."""
    airflow = state.run.airflow
    return state.catalog.knows(airflow) and airflow not in state.catalog.not_ready


def needs_airflow(state: State) -> bool:
    """Whether the attempt has a run in Airflow, or may have, that the operator still manages."""
    current, presence = state.current, state.presence
    if current.attempt is None or not state.job.has_finalizer:
        return False
    return current.finished or (current.open and (current.submitted or not (presence.absent or presence.unsent)))


def reservation(state: State) -> Reservation | None:
    """The place that the MLJob has among the active runs of an Airflow, or waits for; None: it has
    no place and waits for none.
    """
    current, start = state.current, state.start
    holds = current.submitted or state.presence.in_doubt
    if holds and current.open and not state.ending.over and not state.observed_run.over:
        return active_reservation(state)
    if start is None or not start.due or (start.blocker is not None and not start.blocker.is_limit):
        return None
    return state.catalog.reservation(start.attempt.airflow, start.attempt.dag_id, active=False)


def active_reservation(state: State) -> Reservation:
    """The place that the MLJob has from the submission of its run on."""
    return state.catalog.reservation(state.run.airflow, state.run.dag_id, active=True)
