"""The routes of the simulated REST API for DAGs, import errors, logins, and Airflow's version and
health.
"""

from __future__ import annotations

import fnmatch

from .airflow import COMPONENTS, SimulatedAirflow
from .dags import Dag
from .requests import Answer, Refused, Request, page
from .run_routes import known_dag
from .runs import Json


def log_in(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Answer with a token for a user and a password, or with 401 if Airflow refuses the login."""
    body = request.content("username", "password")
    token = airflow.log_in(body["username"], body["password"])
    if token is None:
        raise Refused(401, "Invalid credentials")
    return 201, {"access_token": token}


def get_version(airflow: SimulatedAirflow, _: Request) -> Answer:
    """Return Airflow's version."""
    return 200, {"version": airflow.settings.version, "git_version": None}


def get_health(airflow: SimulatedAirflow, _: Request) -> Answer:
    """Return the health of Airflow's components."""
    return 200, {part: {"status": "unhealthy" if part in airflow.unhealthy else "healthy"} for part in COMPONENTS}


def list_import_errors(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return an empty list of import errors."""
    return 200, page(request, "import_errors", [])


def list_dags(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return the DAGs that match the query parameters ``paused`` and ``dag_id_pattern``."""
    paused, pattern = request.one("paused"), (request.one("dag_id_pattern") or "%").replace("%", "*")
    rows = [
        _row(dag)
        for dag_id, dag in sorted(airflow.store.dags.items())
        if paused in (None, str(dag.is_paused).lower()) and fnmatch.fnmatch(dag_id.lower(), pattern.lower())
    ]
    return 200, page(request, "dags", rows)


def get_dag(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one DAG."""
    return 200, _row(known_dag(airflow, request))


def patch_dag(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Pause or unpause a DAG."""
    dag, body = known_dag(airflow, request), request.content("is_paused")
    if not isinstance(body["is_paused"], bool):
        raise Refused(422, "body.is_paused: Input should be a valid boolean")
    airflow.scheduler.set_paused(dag.dag_id, paused=body["is_paused"])
    return get_dag(airflow, request)


def get_details(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one DAG with its params."""
    dag = known_dag(airflow, request)
    return 200, _row(dag) | {"params": dag.params}


def list_tasks(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return the tasks of a DAG, upstream first."""
    dag = known_dag(airflow, request)
    rows = [
        {
            "task_id": task_id,
            "task_display_name": task_id,
            "operator_name": "_PythonDecoratedOperator",
            "downstream_task_ids": dag.downstream(task_id),
        }
        for task_id in dag.tasks
    ]
    return 200, {"tasks": rows, "total_entries": len(rows)}


def _row(dag: Dag) -> Json:
    return {
        "dag_id": dag.dag_id,
        "dag_display_name": dag.dag_id,
        "is_paused": dag.is_paused,
        "is_stale": dag.is_stale,
        "has_import_errors": False,
        "fileloc": f"/opt/airflow/dags/{dag.dag_id}.py",
        "relative_fileloc": f"{dag.dag_id}.py",
        "bundle_name": "dags-folder",
    }
