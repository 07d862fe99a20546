"""The REST API of backfills (``/api/v2/backfills``)."""

from __future__ import annotations

from mljob_operator.core.run.states import RunState

from .airflow import SimulatedAirflow
from .backfills import Backfill
from .requests import Answer, Refused, Request, moment, page


def list_backfills(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return the backfills of a DAG, the newest first."""
    made = reversed(airflow.backfills.made.values())
    return 200, page(request, "backfills", [one.row() for one in made if one.dag_id == request.one("dag_id")])


def create_backfill(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Create a backfill.

    Answer 404 for an unknown DAG, 409 while the DAG has an active backfill, and 422 for an invalid
    body, a DAG without a schedule, or a range without a day in the past.
    """
    body = request.content("dag_id", "from_date", "to_date")
    order = body | {name: moment(f"body.{name}", str(body[name])) for name in ("from_date", "to_date")}
    dag = airflow.store.dags.get(str(body["dag_id"]))
    if dag is None:
        raise Refused(404, f"Could not find dag {body['dag_id']}")
    if airflow.backfills.active(dag.dag_id) is not None:
        raise Refused(409, f"There is already a running backfill for dag {dag.dag_id}")
    try:
        backfill, runs = airflow.backfills.create(dag, order)
    except ValueError as error:
        raise Refused(422, str(error)) from error
    row = backfill.row()
    for run in runs:
        airflow.scheduler.plan(run)
    if not runs:
        # Every day of the range has a run that the backfill keeps, so it has nothing to do.
        airflow.backfills.complete(backfill.id)
    return 200, row


def pause_backfill(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Pause a backfill: no further run starts."""
    backfill = _active(airflow, request)
    backfill.is_paused = True
    return 200, backfill.row()


def unpause_backfill(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Unpause a backfill: further runs may start."""
    backfill = _active(airflow, request)
    backfill.is_paused = False
    return 200, backfill.row()


def cancel_backfill(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Cancel a backfill, and set its queued runs to failed. Running runs continue."""
    backfill = _active(airflow, request)
    airflow.backfills.complete(backfill.id, paused=True)
    for run in airflow.backfills.runs(backfill.id):
        if run.state is RunState.QUEUED:
            airflow.scheduler.end(run, RunState.FAILED)
    return 200, backfill.row()


def _active(airflow: SimulatedAirflow, request: Request) -> Backfill:
    number = request.path["backfill_id"]
    backfill = airflow.backfills.made.get(int(number)) if number.isdecimal() else None
    if backfill is None:
        raise Refused(404, "Backfill not found")
    if backfill.completed_at is not None:
        raise Refused(409, "Backfill is already completed.")
    return backfill
