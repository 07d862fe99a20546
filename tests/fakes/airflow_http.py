"""Airflow's REST API in front of a :class:`FakeAirflow`, as far as the operator's adapter uses the
API.

Answers have the fields of Airflow 3.3 that the operator or a test reads. ``tests/contract`` runs
the same suite with the adapter in front of this server and in front of a real Airflow.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mljob_contract.backfill_marker import CONF_KEY, Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.facts import TaskFact
from mljob_operator.core.run.states import FINISHED_TASK, TERMINAL_RUN, RunState, TaskState
from mljob_operator.errors import BackfillActive, DagNotFound, ValidationFailed
from tests.live.loopback import LoopbackServer, QuietHandler

from .airflow import FakeAirflow, FakeRun

API = "/api/v2"
MAXIMUM_PAGE = 100
"""The most rows of an answer: Airflow's default of ``[api] maximum_page_limit``."""
OUTPUTS_KEY = "mljob_outputs"
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]+")

Json = dict[str, Any]


class Refused(Exception):
    """An answer with an error status.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        parts: The variable segments of the path, unquoted.
        query: The values of each parameter.
        body: The JSON body.
    """

    parts: tuple[str, ...]
    query: Mapping[str, list[str]] = field(default_factory=dict)
    body: Any = None

    def one(self, name: str) -> str | None:
        """The first value of a parameter, or None."""
        values = self.query.get(name)
        return values[0] if values else None

    def time(self, name: str) -> datetime | None:
        """The first value of a parameter as a time, or None."""
        text = self.one(name)
        return datetime.fromisoformat(text) if text else None


Answer = tuple[int, Any]
Route = tuple[str, re.Pattern[str], Callable[["AirflowApi", Request], Answer]]
_ROUTES: list[Route] = []
_Handler = Callable[["AirflowApi", Request], Answer]


def _route(method: str, path: str) -> Callable[[_Handler], _Handler]:
    """Register a function for a method and a path. ``{}`` in the path stands for one segment."""
    pattern = re.compile(API + re.escape(path).replace(r"\{\}", "([^/]+)"))

    def register(handler: _Handler) -> _Handler:
        _ROUTES.append((method, pattern, handler))
        return handler

    return register


class AirflowApi:
    """Airflow's REST API in front of a fake Airflow. It answers one request at a time.

    Args:
        airflow: The fake. Other threads must hold ``lock`` to change it.
        user: The only user.
        password: The user's password.

    Attributes:
        lock: Held while a request is answered.
        requests: The number of answered requests.
    """

    def __init__(self, airflow: FakeAirflow, *, user: str = "admin", password: str = "secret") -> None:
        self.airflow = airflow
        self.lock = threading.RLock()
        self.requests = 0
        self._credentials = {"username": user, "password": password}
        self._tokens: set[str] = set()

    def answer(self, method: str, target: str, token: str | None, body: bytes) -> Answer:
        """The status and the JSON of the answer to a request."""
        url = urlsplit(target)
        with self.lock:
            self.requests += 1
            try:
                content = json.loads(body) if body else None
                if (method, url.path) == ("POST", "/auth/token"):
                    return self._log_in(content)
                for allowed, pattern, handler in _ROUTES:
                    found = pattern.fullmatch(url.path)
                    if found is not None and allowed == method:
                        if handler not in _FOR_EVERYBODY and token not in self._tokens:
                            raise Refused(401 if token is None else 403, "Invalid JWT token")
                        parts = tuple(unquote(part) for part in found.groups())
                        return handler(self, Request(parts, parse_qs(url.query, keep_blank_values=True), content))
                raise Refused(404, "Not Found")
            except Refused as refused:
                return refused.status, {"detail": str(refused)}

    def _log_in(self, credentials: Any) -> Answer:
        if self.airflow.locked or credentials != self._credentials:
            raise Refused(401, "Invalid credentials")
        token = secrets.token_hex(8)
        self._tokens.add(token)
        return 201, {"access_token": token}

    # Airflow and its DAGs

    @_route("GET", "/version")
    def version(self, _: Request) -> Answer:
        """Airflow's version."""
        return 200, {"version": _now(self.airflow.probe()).version, "git_version": None}

    @_route("GET", "/monitor/health")
    def health(self, _: Request) -> Answer:
        """The health of Airflow's components."""
        health = _now(self.airflow.probe()).health.model_dump()
        return 200, {part: {"status": status} for part, status in health.items()}

    @_route("GET", "/importErrors")
    def import_errors(self, _: Request) -> Answer:
        """No import errors."""
        return 200, {"import_errors": [], "total_entries": 0}

    @_route("GET", "/dags")
    def dags(self, request: Request) -> Answer:
        """All DAGs, or the paused or unpaused ones."""
        wanted = request.one("paused")
        rows = [self._dag_row(dag_id) for dag_id in sorted(self.airflow.dags)]
        return 200, _page(request, "dags", [row for row in rows if wanted in (None, str(row["is_paused"]).lower())])

    @_route("GET", "/dags/{}")
    def dag(self, request: Request) -> Answer:
        """One DAG."""
        return 200, self._dag_row(self._known(request.parts[0]))

    @_route("GET", "/dags/{}/details")
    def details(self, request: Request) -> Answer:
        """One DAG with its params."""
        dag_id = self._known(request.parts[0])
        return 200, {**self._dag_row(dag_id), "params": self.airflow.dag_params.get(dag_id, {})}

    @_route("GET", "/dags/{}/tasks")
    def dag_tasks(self, request: Request) -> Answer:
        """The tasks of a DAG, each upstream of the next."""
        tasks = self.airflow.dags[self._known(request.parts[0])]
        rows = [
            {"task_id": task_id, "downstream_task_ids": list(tasks[number + 1 : number + 2])}
            for number, task_id in enumerate(tasks)
        ]
        return 200, {"tasks": rows, "total_entries": len(rows)}

    # Runs

    @_route("POST", "/dags/{}/dagRuns")
    def trigger(self, request: Request) -> Answer:
        """Create a run; 409 where the run id or the logical date exists."""
        dag_id, body = self._known(request.parts[0]), request.body
        if not isinstance(body.get("conf"), dict) or "logical_date" not in body:
            raise Refused(422, "body: conf and logical_date are required")
        run_id, conf = body["dag_run_id"], body["conf"]
        if _RUN_ID.fullmatch(run_id) is None:
            raise Refused(400, f"The given run_id {run_id!r} is not valid")
        missing = [name for name in self.airflow.required.get(dag_id, ()) if name not in conf]
        if missing:
            raise Refused(400, f"Invalid input for param {missing[0]}: None is not of type 'integer'")
        if (dag_id, run_id) in self.airflow.runs:
            raise Refused(409, "Unique constraint violation")
        date = datetime.fromisoformat(body["logical_date"]) if body["logical_date"] else None
        if self.airflow.of_date(dag_id, date) is not None:
            raise Refused(409, "Unique constraint violation")
        return 200, _run_row(self.airflow.queue(dag_id, run_id, conf, body.get("note"), date))

    @_route("GET", "/dags/{}/dagRuns")
    def runs(self, request: Request) -> Answer:
        """The runs of one DAG or of all (``~``) that pass the filters."""
        found = [run for run in self._runs(request) if _fits_run(run, request)]
        return 200, _page(request, "dag_runs", [_run_row(run) for run in found])

    @_route("GET", "/dags/{}/dagRuns/{}")
    def run(self, request: Request) -> Answer:
        """One run."""
        return 200, _run_row(self._run(request))

    @_route("PATCH", "/dags/{}/dagRuns/{}")
    def set_run(self, request: Request) -> Answer:
        """Set a run's note or state. With the state, running tasks become failed and tasks without
        a state skipped.
        """
        run = self._run(request)
        if "note" in request.body:
            _now(self.airflow.set_note(run.dag_id, run.run_id, request.body["note"]))
        if "state" not in request.body:
            return 200, _run_row(run)
        state = RunState(request.body["state"])
        if run.state is state:
            raise Refused(409, f"Dag Run already in {state} state")
        for task in list(run.tasks.values()):
            if task.state not in FINISHED_TASK:
                waits = task.state is TaskState.NONE
                self._set(run, task, TaskState.SKIPPED if waits else TaskState.FAILED)
        self.airflow.end(run, state)
        return 200, _run_row(run)

    @_route("POST", "/dags/{}/dagRuns/{}/clear")
    def clear(self, request: Request) -> Answer:
        """Clear the failed tasks of a run."""
        run = self._run(request)
        bad = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
        failed = [key for key, task in run.tasks.items() if task.state in bad]
        if failed:
            self.airflow.clear(run, *failed)
        return 200, _run_row(run)

    # Task instances

    @_route("GET", "/dags/{}/dagRuns/{}/taskInstances")
    def task_instances(self, request: Request) -> Answer:
        """The task instances of one run or of all (``~``) that pass the filters."""
        dag_id, run_id = request.parts
        if run_id != "~" and (dag_id, run_id) not in self.airflow.runs:
            raise Refused(404, f"DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
        runs = [self._run(request)] if run_id != "~" else self._runs(Request((dag_id,), request.query))
        since, prefix = request.time("updated_at_gte"), request.one("run_id_prefix_pattern") or ""
        rows = [
            _task_row(run, task)
            for run in runs
            for task in run.tasks.values()
            if run.run_id.startswith(prefix) and (since is None or task.occurred_at >= since)
        ]
        return 200, _page(request, "task_instances", rows)

    @_route("GET", "/dags/{}/dagRuns/{}/taskInstances/{}/logs/{}")
    def log(self, request: Request) -> Answer:
        """The log of a try, with a token while the task runs."""
        dag_id, run_id, task_id, number = request.parts
        token, key = request.one("token"), (task_id, int(request.one("map_index") or -1))
        if token is not None and not token.isdigit():
            raise Refused(400, "Bad Signature. Please use only the tokens provided by the API.")
        found = self.airflow.log(dag_id, run_id, key, int(number), int(token) if token is not None else None)
        if found is None:
            raise Refused(404, "TaskInstance not found")
        if token is not None and self.airflow.version.startswith("3.1."):
            begun = self.airflow.log(dag_id, run_id, key, int(number), 0)
            assert begun is not None
            found = begun
        return 200, {"content": found[0], "continuation_token": found[1]}

    @_route("GET", "/dags/{}/tasks")
    def tasks(self, request: Request) -> Answer:
        """The tasks of a DAG."""
        rows = [
            {
                "task_id": task.task_id,
                "task_display_name": task.label,
                "operator_name": task.operator,
                "downstream_task_ids": list(task.downstream),
            }
            for task in _now(self.airflow.structure(self._known(request.parts[0])))
        ]
        return 200, {"tasks": rows, "total_entries": len(rows)}

    @_route("PATCH", "/dags/{}/dagRuns/{}/taskInstances")
    def set_tasks(self, request: Request) -> Answer:
        """Set the states of several task instances."""
        run = self._run(request)
        for action in request.body["actions"]:
            for entity in action["entities"]:
                task = run.tasks.get((entity["task_id"], entity.get("map_index", -1)))
                if task is not None and task.state not in FINISHED_TASK:
                    self._set(run, task, TaskState(entity["new_state"]))
        if run.state not in TERMINAL_RUN and all(task.state in FINISHED_TASK for task in run.tasks.values()):
            self.airflow.end(run, RunState.FAILED)
        return 200, {"update": {"success": [], "errors": []}}

    @_route("GET", "/dags/{}/dagRuns/{}/hitlDetails")
    def questions(self, request: Request) -> Answer:
        """The unanswered questions of a run's tasks; none for a run that does not exist."""
        dag_id, run_id = request.parts
        run = self.airflow.runs.get((dag_id, run_id))
        if run is None:
            return 200, _page(request, "hitl_details", [])
        rows = [
            {"task_instance": _task_row(run, run.tasks[key]), "subject": subject, "response_received": False}
            for key, subject in run.questions.items()
            if run.tasks[key].awaits_input
        ]
        return 200, _page(request, "hitl_details", rows)

    @_route("GET", "/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries")
    def xcoms(self, request: Request) -> Answer:
        """The XComs with a key of one task or of all (``~``); none for a run that doesn't exist."""
        dag_id, run_id, task_id = request.parts
        run, wanted = self.airflow.runs.get((dag_id, run_id)), request.one("xcom_key")
        if run is None:
            return 200, _page(request, "xcom_entries", [])
        stamp = run.changed.isoformat()
        rows = [
            {"key": key, "task_id": of, "map_index": -1, "run_id": run.run_id, "dag_id": run.dag_id, "timestamp": stamp}
            for of, key in _xcoms(run)
            if key == wanted and task_id in ("~", of)
        ]
        return 200, _page(request, "xcom_entries", rows)

    @_route("GET", "/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries/{}")
    def xcom(self, request: Request) -> Answer:
        """One XCom as it is stored."""
        run, (_, _, task_id, key) = self._run(request), request.parts
        values = _xcoms(run)
        if (task_id, key) not in values:
            raise Refused(404, f"XCom entry with key: `{key}` not found")
        return 200, {"key": key, "task_id": task_id, "map_index": -1, "value": json.dumps(values[task_id, key])}

    # Backfills

    @_route("GET", "/backfills")
    def backfills(self, request: Request) -> Answer:
        """The backfills of a DAG, the newest first."""
        made = reversed(self.airflow.backfills.made.values())
        rows = [_backfill_row(one) for one in made if one.dag_id == request.one("dag_id")]
        return 200, _page(request, "backfills", rows)

    @_route("POST", "/backfills")
    def create_backfill(self, request: Request) -> Answer:
        """Create a backfill; 409 while the DAG has an active one."""
        body = request.body
        conf = dict(body["dag_run_conf"] or {})
        marker = Marker.read(conf)
        assert marker is not None, "the operator's backfills have a marker"
        order = BackfillRequest(
            datetime.fromisoformat(body["from_date"]),
            datetime.fromisoformat(body["to_date"]),
            ReprocessBehavior(body["reprocess_behavior"].capitalize()),
            body["max_active_runs"],
            body["run_backwards"],
            {key: value for key, value in conf.items() if key != CONF_KEY},
        )
        backfills = self.airflow.backfills
        if any(one.dag_id == body["dag_id"] and one.completed_at is None for one in backfills.made.values()):
            raise Refused(409, f"There is already a running backfill for dag {body['dag_id']}")
        try:
            return 200, _backfill_row(_now(backfills.post(body["dag_id"], marker, order)))
        except DagNotFound as error:
            raise Refused(404, f"Could not find dag {body['dag_id']}") from error
        except BackfillActive as error:
            raise Refused(409, str(error)) from error
        except ValidationFailed as error:
            raise Refused(422, str(error)) from error

    @_route("PUT", "/backfills/{}/pause")
    def pause_backfill(self, request: Request) -> Answer:
        """Pause a backfill, so that no other run of the backfill starts."""
        return self._set_backfill(request, self.airflow.backfills.pause(int(request.parts[0]), paused=True))

    @_route("PUT", "/backfills/{}/unpause")
    def unpause_backfill(self, request: Request) -> Answer:
        """Unpause a backfill, so that its runs may start again."""
        return self._set_backfill(request, self.airflow.backfills.pause(int(request.parts[0]), paused=False))

    @_route("PUT", "/backfills/{}/cancel")
    def cancel_backfill(self, request: Request) -> Answer:
        """Fail the queued runs of a backfill, and complete the backfill."""
        return self._set_backfill(request, self.airflow.backfills.cancel(int(request.parts[0])))

    # Helpers

    def _set_backfill(self, request: Request, change: Coroutine[Any, Any, None]) -> Answer:
        backfill = self.airflow.backfills.made.get(int(request.parts[0]))
        if backfill is None or backfill.completed_at is not None:
            change.close()
            raise Refused(404 if backfill is None else 409, "Backfill is already completed")
        _now(change)
        return 200, _backfill_row(self.airflow.backfills.made[backfill.id])

    def _known(self, dag_id: str) -> str:
        if dag_id not in self.airflow.dags:
            raise Refused(404, f"The Dag with ID: `{dag_id}` was not found")
        return dag_id

    def _runs(self, request: Request) -> list[FakeRun]:
        """The runs of a DAG or of all (``~``), in the order of their creation."""
        (dag_id, *_) = request.parts
        if dag_id != "~":
            self._known(dag_id)
        return [run for run in self.airflow.runs.values() if dag_id in ("~", run.dag_id)]

    def _run(self, request: Request) -> FakeRun:
        dag_id, run_id = request.parts[:2]
        run = self.airflow.runs.get((dag_id, run_id))
        if run is None:
            raise Refused(404, f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
        return run

    def _set(self, run: FakeRun, task: TaskFact, state: TaskState) -> None:
        self.airflow.set_task(run, task.task_id, state, map_index=task.map_index, try_number=task.try_number)

    def _dag_row(self, dag_id: str) -> Json:
        return {
            "dag_id": dag_id,
            "dag_display_name": dag_id,
            "is_paused": dag_id in self.airflow.paused,
            "is_stale": dag_id in self.airflow.stale,
            "has_import_errors": False,
        }


_FOR_EVERYBODY = {AirflowApi.version, AirflowApi.health}


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of one of the fake's coroutines, none of which waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the fake waits for something")


def _page(request: Request, name: str, rows: list[Json]) -> Json:
    """One page of rows, with the cursor of the next page where the request uses cursors."""
    limit = min(int(request.one("limit") or MAXIMUM_PAGE), MAXIMUM_PAGE)
    cursor = request.one("cursor")
    begin = int(cursor or request.one("offset") or 0)
    end = begin + limit
    page: Json = {name: rows[begin:end], "total_entries": len(rows)}
    if cursor is not None:
        page["next_cursor"] = str(end) if end < len(rows) else None
    return page


def _fits_run(run: FakeRun, request: Request) -> bool:
    since, begin, end = (request.time(name) for name in ("updated_at_gte", "logical_date_gte", "logical_date_lte"))
    return (
        run.run_id.startswith(request.one("run_id_prefix_pattern") or "")
        and (since is None or run.changed >= since)
        and ("state" not in request.query or run.state.value in request.query["state"])
        and ("run_type" not in request.query or _run_type(run) in request.query["run_type"])
        and (begin is None or (run.date is not None and run.date >= begin))
        and (end is None or (run.date is not None and run.date <= end))
        and (request.one("conf_contains") or "") in json.dumps(run.conf)
    )


def _run_type(run: FakeRun) -> str:
    if run.backfill is not None:
        return "backfill"
    return "scheduled" if run.run_id.startswith("scheduled__") else "manual"


def _run_row(run: FakeRun) -> Json:
    return {
        "dag_run_id": run.run_id,
        "dag_id": run.dag_id,
        "logical_date": _text(run.date),
        "queued_at": _text(run.queued_at),
        "start_date": _text(run.start),
        "end_date": _text(run.end),
        "run_type": _run_type(run),
        "state": run.state.value,
        "conf": run.conf,
        "note": run.note,
    }


def _task_row(run: FakeRun, task: TaskFact) -> Json:
    return {
        "task_id": task.task_id,
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "map_index": task.map_index,
        "start_date": _text(task.start),
        "end_date": _text(task.end),
        "state": None if task.state is TaskState.NONE else task.state.value,
        "try_number": task.try_number,
        "max_tries": task.max_tries or 0,
    }


def _backfill_row(one: Backfill) -> Json:
    marker = one.marker.as_conf() if one.marker is not None else {}
    return {
        "id": one.id,
        "dag_id": one.dag_id,
        "from_date": _text(one.start),
        "to_date": _text(one.end),
        "dag_run_conf": {**one.conf, **marker},
        "is_paused": one.paused,
        "reprocess_behavior": one.reprocess.value.lower(),
        "max_active_runs": one.max_active_runs,
        "created_at": _text(one.created_at),
        "completed_at": _text(one.completed_at),
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None


def _xcoms(run: FakeRun) -> dict[tuple[str, str], Any]:
    """The XComs that tasks pushed, with the run's outputs as an XCom of the last task."""
    published = {(next(reversed(run.tasks))[0], OUTPUTS_KEY): run.outputs} if run.outputs and run.tasks else {}
    return published | run.xcoms


class AirflowServer(LoopbackServer):
    """A server for an :class:`AirflowApi` on loopback, while the block runs."""

    def __init__(self, api: AirflowApi) -> None:
        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
                bearer = token if scheme == "Bearer" else None
                status, content = api.answer(self.command, self.path, bearer, self.content())
                self.reply(status, json.dumps(content).encode())

        super().__init__(Handler)
