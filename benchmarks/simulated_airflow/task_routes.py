"""The routes of the simulated REST API for task instances: their states, logs and XComs, and the
questions that tasks ask a person.
"""

from __future__ import annotations

import json
from typing import Any

from mljob_operator.core.run.states import RunState, TaskState

from .airflow import SimulatedAirflow
from .requests import Answer, Refused, Request, numbered_page, page
from .run_routes import known_run
from .runs import HEADER, Json, Run, TaskInstance


def list_task_instances(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one page of the task instances that pass the filters in the query. The run id ``~``
    stands for all runs, and the DAG id ``~`` for all DAGs.
    """
    dag_id, run_id, store = request.path["dag_id"], request.path["run_id"], airflow.store
    since, prefix = request.time("updated_at_gte"), request.one("run_id_prefix_pattern") or ""
    if run_id != "~":
        run = store.get(dag_id, run_id)
        if run is None:
            raise Refused(404, f"DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
        return 200, numbered_page(
            request, "task_instances", run.tasks.values(), lambda task: since is None or task.changed >= since
        )
    found = (
        store.tasks_since(since)
        if since is not None
        else (task for run in store.runs(dag_id) for task in run.tasks.values())
    )
    return 200, numbered_page(
        request,
        "task_instances",
        found,
        lambda task: dag_id in ("~", task.run.dag_id) and task.run.run_id.startswith(prefix),
    )


def get_mapped_task_instance(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return the task instance that the path names. The map index of a task that is not mapped is
    -1.
    """
    path = request.path
    run = airflow.store.get(path["dag_id"], path["run_id"])
    index = path["map_index"]
    number = int(index) if index.removeprefix("-").isdecimal() else -2
    task = run.tasks.get((path["task_id"], number)) if run is not None else None
    if task is None:
        raise Refused(
            404,
            f"The Mapped Task Instance with dag_id: `{path['dag_id']}`, run_id: `{path['run_id']}`, "
            f"task_id: `{path['task_id']}`, and map_index: `{index}` was not found",
        )
    return 200, task.row() | {"rendered_fields": {}}


def set_task_instances(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Set the states of several task instances of a run. Task instances that have ended keep their
    state. If the run is in progress and all its task instances have ended afterwards, the run ends
    as failed.
    """
    run, errors = known_run(airflow, request), []
    for action in request.content("actions")["actions"]:
        for entity in action["entities"]:
            task = run.tasks.get((entity["task_id"], entity.get("map_index", -1)))
            if task is None or entity["new_state"] not in ("success", "failed", "skipped"):
                errors.append({"error": f"{entity['task_id']}: {entity['new_state']}"})
            elif not task.is_finished:
                begun = task.state is not TaskState.NONE
                airflow.scheduler.set_task(task, TaskState(entity["new_state"]), tell=begun)
    if not run.is_over and all(task.is_finished for task in run.tasks.values()):
        airflow.scheduler.end(run, RunState.FAILED)
    return 200, {"update": {"success": [], "errors": errors}}


def get_log(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return the log of a try. If the request has a continuation token, return only the lines after
    the token's position. But a simulated Airflow 3.1 ignores this position and returns all lines,
    as the real Airflow 3.1 does. While the try is running or deferred, the answer has a token for
    the next request.
    """
    path, token = request.path, request.one("token")
    if token is not None and not (token.isdecimal() and len(token) < 10):
        raise Refused(400, "Bad Signature. Please use only the tokens provided by the API.")
    run, index = airflow.store.get(path["dag_id"], path["run_id"]), request.one("map_index") or "-1"
    key = (path["task_id"], int(index) if index.removeprefix("-").isdecimal() else -2)
    task = run.tasks.get(key) if run is not None else None
    number = int(path["try_number"]) if path["try_number"].isdecimal() else -1
    if task is None or not 0 <= number <= task.try_number:
        raise Refused(404, "TaskInstance not found")
    # Airflow 3.1 ignores where a token says that the last answer ended.
    begin = 0 if token is None or airflow.settings.version.startswith("3.1.") else int(token)
    entries = task.log(number)
    header = [{"event": line, "timestamp": None} for line in HEADER] if token is None else []
    goes_on = task.try_number == number and task.state in (TaskState.RUNNING, TaskState.DEFERRED)
    token_after = str(len(entries)) if goes_on else None
    return 200, {"content": [*header, *entries[begin:]], "continuation_token": token_after}


def list_questions(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return the unanswered questions of a run's tasks. For a run that doesn't exist, the list is
    empty.
    """
    run = airflow.store.get(request.path["dag_id"], request.path["run_id"])
    dag = airflow.store.dags.get(request.path["dag_id"])
    if run is None or dag is None:
        return 200, page(request, "hitl_details", [])
    rows = [
        {
            "task_instance": task.row(),
            "subject": dag.question(task.task_id, run.conf),
            "response_received": False,
        }
        for task in run.tasks.values()
        if task.state is TaskState.AWAITING_INPUT
    ]
    return 200, page(request, "hitl_details", rows)


def list_xcoms(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one page of the XComs of a task in a run. The task id ``~`` stands for all tasks. For
    a run that doesn't exist, the page is empty.
    """
    path, wanted = request.path, request.one("xcom_key")
    run = airflow.store.get(path["dag_id"], path["run_id"])
    rows = [] if run is None else [_entry(run, task_id, key) for task_id, key in run.xcoms]
    fitting = [row for row in rows if wanted in (None, row["key"]) and path["task_id"] in ("~", row["task_id"])]
    return 200, page(request, "xcom_entries", fitting)


def get_xcom(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Return one XCom, with its value as JSON text."""
    run, key = known_run(airflow, request), request.path["key"]
    place = (request.path["task_id"], key)
    if place not in run.xcoms:
        raise Refused(404, f"XCom entry with key: `{key}` not found")
    value: Any = run.xcoms[place]
    return 200, _entry(run, *place) | {"value": json.dumps(value)}


def _entry(run: Run, task_id: str, key: str) -> Json:
    task: TaskInstance | None = run.tasks.get((task_id, -1))
    at = task.end if task is not None and task.end is not None else run.changed
    return {
        "key": key,
        "task_id": task_id,
        "map_index": -1,
        "run_id": run.run_id,
        "dag_id": run.dag_id,
        "timestamp": at.isoformat(),
    }
