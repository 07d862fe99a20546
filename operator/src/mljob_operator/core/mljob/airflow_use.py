"""How an MLJob uses its Airflow: whether the operator can reach this Airflow, whether the operator
still needs this Airflow for the MLJob, and how the MLJob counts against the limits on the number of
active runs.
"""

from __future__ import annotations

from ..airflow_instance.admission import Reservation
from .classification.state import State


def is_lost(state: State) -> bool:
    """Return whether the MLJob has an active run in an Airflow that is no longer configured."""
    return state.current.active and not state.catalog.knows(state.run.airflow)


def is_reachable(state: State) -> bool:
    """Return whether the operator can use the Airflow of the newest attempt's run now: this Airflow
    is configured, and is not listed as not ready (:attr:`.AirflowCatalog.not_ready`).
    """
    airflow = state.run.airflow
    return state.catalog.knows(airflow) and airflow not in state.catalog.not_ready


def needs_airflow(state: State) -> bool:
    """Return whether the operator still needs the Airflow of the newest attempt's run, for requests
    about this run.

    The result is False if the MLJob has no attempt, or does not have the operator's finalizer.
    Otherwise the result is True in each of these cases:

    - The MLJob is finished, and is not about to run again. The operator may still have to read the
      run's tasks and outputs.
    - The newest attempt is not over, and its run exists or may exist in Airflow.
    """
    current, presence = state.current, state.presence
    if current.attempt is None or not state.job.has_finalizer:
        return False
    if current.finished:
        return state.start is None
    return current.open and (current.submitted or not (presence.absent or presence.unsent))


def reservation(state: State) -> Reservation | None:
    """Return the MLJob's :class:`.Reservation`: the place that the MLJob takes, or wants to take,
    within an Airflow's limits on active runs. Return None unless one of these conditions is true:

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
    """Return the :class:`.Reservation` for the run of an MLJob's newest attempt: the place that the
    run takes within its Airflow's limits on active runs. The run counts as active, even if the
    operator is only about to submit the run.
    """
    return state.catalog.reservation(state.run.airflow, state.run.dag_id, active=True)
