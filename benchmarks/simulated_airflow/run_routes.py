"""The routes of the simulated REST API for runs (``/api/v2/dags/{dag_id}/dagRuns``)."""

from __future__ import annotations

import json
import re

from mljob_operator.core.run.states import RunState, TaskState

from .airflow import SimulatedAirflow
from .dags import Dag
from .requests import Answer, Refused, Request, moment, numbered_page
from .runs import Run

_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")
_TOO_LATE = "Unique constraint violation"


def known_dag(airflow: SimulatedAirflow, request: Request) -> Dag:
    """Return the DAG whose id is in the path of a request.

    Raises:
        Refused: There is no such DAG.
    """
    dag_id = request.path["dag_id"]
    if dag_id not in airflow.store.dags:
        raise Refused(404, f"The Dag with ID: `{dag_id}` was not found")
    return airflow.store.dags[dag_id]


def known_run(airflow: SimulatedAirflow, request: Request) -> Run:
    """Return the run whose DAG id and run id are in the path of a request.

    Raises:
        Refused: There is no such run.
    """
    dag_id, run_id = request.path["dag_id"], request.path["run_id"]
    run = airflow.store.get(dag_id, run_id)
    if run is None:
        raise Refused(404, f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
    return run


def trigger(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Create a run. Unlike the real Airflow, the simulation requires a run id in the body.

    Raises:
        Refused: 404 if the DAG doesn't exist, 409 if the DAG already has a run with this run id or
            logical date, or 400 or 422 if the body is invalid.
    """
    dag, body = known_dag(airflow, request), request.content("logical_date")
    run_id, conf = body.get("dag_run_id"), body.get("conf") or {}
    if not isinstance(run_id, str) or _RUN_ID.fullmatch(run_id) is None:
        raise Refused(400, f"The given run_id {str(run_id)[:300]!r} is not valid")
    if not isinstance(conf, dict):
        raise Refused(422, "body.conf: Input should be a valid dictionary")
    for name in dag.required:
        if not isinstance(conf.get(name), int):
            raise Refused(400, f"Invalid input for param {name}: {conf.get(name)!r:.100} is not of type 'integer'")
    date = moment("body.logical_date", str(body["logical_date"])) if body["logical_date"] else None
    if airflow.store.get(dag.dag_id, run_id) is not None or airflow.store.of_date(dag.dag_id, date) is not None:
        raise Refused(409, _TOO_LATE)
    run = airflow.store.add(dag, run_id, conf, note=body.get("note"), date=date)
    airflow.scheduler.plan(run)
    return 200, run.row()


def list_runs(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one page of the runs that pass the filters in the query. The DAG id ``~`` stands for
    all DAGs.
    """
    dag_id, store = request.path["dag_id"], airflow.store
    if dag_id != "~":
        known_dag(airflow, request)
    since, begin, end = (request.time(name) for name in ("updated_at_gte", "logical_date_gte", "logical_date_lte"))
    prefix, states = request.one("run_id_prefix_pattern") or "", set(request.query.get("state", ()))
    types, contained = set(request.query.get("run_type", ())), request.one("conf_contains")

    def fits(run: Run) -> bool:
        return (
            dag_id in ("~", run.dag_id)
            and run.run_id.startswith(prefix)
            and (not states or run.state.value in states)
            and (not types or run.run_type in types)
            and (begin is None or (run.date is not None and run.date >= begin))
            and (end is None or (run.date is not None and run.date <= end))
            and (not contained or contained in json.dumps(run.conf))
        )

    if since is not None:
        return 200, numbered_page(request, "dag_runs", store.runs_since(since), fits)
    if states and states <= {"queued", "running"}:
        return 200, numbered_page(request, "dag_runs", store.active(dag_id), fits)
    return 200, numbered_page(request, "dag_runs", store.runs(dag_id), fits)


def get_run(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one run as a JSON object."""
    return 200, known_run(airflow, request).row()


def patch_run(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Set the note of a run, its state, or both. A new state ends the run at once.

    Raises:
        Refused: 404 if the run doesn't exist, 422 if the new state is neither success nor failed,
            or 409 if the run already has the new state.
    """
    run, body = known_run(airflow, request), request.content()
    if "note" in body:
        run.note = body["note"]
        airflow.store.touch(run)
    if body.get("state") is None:
        return 200, run.row()
    if body["state"] not in ("success", "failed"):
        raise Refused(422, f"body.state: {body['state']!r:.100} is not success or failed")
    state = RunState(body["state"])
    if run.state is state:
        raise Refused(409, f"Dag Run already in {state} state")
    airflow.scheduler.end(run, state)
    return 200, run.row()


def clear_run(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Clear all tasks of a run, or with ``only_failed: true`` only the tasks in the states failed
    and upstream_failed. If a task is cleared and the run has ended, queue the run again. Without
    ``dry_run: false`` in the body, change nothing.
    """
    run, body = known_run(airflow, request), request.content()
    bad = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
    keys = [key for key, task in run.tasks.items() if not body.get("only_failed", False) or task.state in bad]
    if keys and not body.get("dry_run", True):
        airflow.store.clear(run, keys)
        airflow.scheduler.plan(run)
    return 200, run.row()


def delete_run(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Delete a run and its task instances."""
    airflow.store.remove(known_run(airflow, request))
    return 204, None
