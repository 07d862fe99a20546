"""An HTTP server with scripted responses, which replaces Airflow in tests.

By default, the server responds as Airflow does. A test can choose other responses, such as a login
page or a broken connection.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.live.loopback import LoopbackServer, QuietHandler

DAG, RUN = "train", "mljob.team-a.churn.aaaaaaaaaa-1"
CANCEL_DAG, CANCEL_RUN = "mljob_cancel", f"cancel.{RUN}"
BACKFILL_DAG, BACKFILL = "days", 7
CHILD_RUN = "manual__child"
"""The id of a run that a task of RUN has triggered."""
AT = "2026-01-02T03:04:05Z"
HUGE = 64 * 1024 * 1024
"""The size of an oversized response in bytes: more than any response may have."""


@dataclass(frozen=True)
class Says:
    status: int
    body: str = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Does:
    """A fault of the server in place of a complete response, such as a reset of the connection."""

    what: str


HANGS = Does("takes the request and answers nothing")
RESETS = Does("resets the connection")
POURS = Does("sends more and more")
BREAKS_OFF = Does("ends the connection in the middle of an answer")
DRIPS = Does("sends a byte now and then")

Told = Says | Does


def said(status: int, **fields: Any) -> Says:
    return Says(status, json.dumps(fields))


def refused(status: int, detail: Any) -> Says:
    """Return an error response in FastAPI's format, which Airflow uses."""
    return said(status, detail=detail)


def run_row(dag_id: str = DAG, run_id: str = RUN, **fields: Any) -> dict[str, Any]:
    row = {"dag_id": dag_id, "dag_run_id": run_id, "state": "failed", "conf": {}, "logical_date": AT}
    return row | {"queued_at": AT, "start_date": AT, "end_date": AT} | fields


def task_row(dag_id: str = DAG, run_id: str = RUN, **fields: Any) -> dict[str, Any]:
    row = {"dag_id": dag_id, "dag_run_id": run_id, "task_id": "fit", "map_index": -1, "try_number": 1}
    return row | {"max_tries": 0, "state": "running", "start_date": AT, "end_date": None} | fields


def backfill_row(**fields: Any) -> dict[str, Any]:
    conf = {"mljob": {"id": RUN, "attempt": 1}}
    row = {"id": BACKFILL, "dag_id": BACKFILL_DAG, "dag_run_conf": conf, "reprocess_behavior": "none"}
    row |= {"from_date": AT, "to_date": AT, "max_active_runs": 1, "is_paused": False}
    return row | {"created_at": AT, "completed_at": None} | fields


def page(name: str, *rows: Mapping[str, Any]) -> Says:
    """Return a list response with all ``rows``. ``name`` is the JSON field of the list, such as
    ``task_instances``.
    """
    return said(200, **{name: rows, "total_entries": len(rows)})


@dataclass(frozen=True)
class Request:
    """A kind of request that the operator sends to Airflow.

    Attributes:
        path: A regular expression for the whole path.
        client: The method of apache-airflow-client that sends the request; empty if there is none.
        answer: The default response, or a function that returns this response. The function takes
            two arguments: the values of the named groups in ``path``, and the request's JSON body.
        query: The query parameters that distinguish this request from other requests with the same
            path.
    """

    name: str
    method: str
    path: str
    client: str
    answer: Says | Callable[[Mapping[str, str], Mapping[str, Any]], Says]
    query: frozenset[str] = frozenset()


_DAG = f"/api/v2/dags/(?P<dag>{DAG}|{CANCEL_DAG})"
_RUN = f"{_DAG}/dagRuns/(?P<run>[^/~]+)"


def _triggered(path: Mapping[str, str], body: Mapping[str, Any]) -> Says:
    return said(200, **run_row(path["dag"], body["dag_run_id"], state="queued"))


def _run(path: Mapping[str, str], _: Mapping[str, Any]) -> Says:
    return said(200, **run_row(path["dag"], path["run"]))


def _tasks(path: Mapping[str, str], _: Mapping[str, Any]) -> Says:
    return page("task_instances", task_row(path["dag"], path["run"]))


_HEALTH = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")}
_MEMBER = run_row(BACKFILL_DAG, "backfill__1", conf=backfill_row()["dag_run_conf"])
REQUESTS = [
    Request("version", "GET", "/api/v2/version", "get_version", said(200, version="3.3.2")),
    Request("login", "POST", "/auth/token", "", said(201, access_token="a-token")),
    Request("health", "GET", "/api/v2/monitor/health", "get_health", said(200, **_HEALTH)),
    Request("list dags", "GET", "/api/v2/dags", "get_dags", page("dags", {"dag_id": DAG})),
    Request("list import errors", "GET", "/api/v2/importErrors", "get_import_errors", page("import_errors")),
    Request("trigger", "POST", f"{_DAG}/dagRuns", "trigger_dag_run", _triggered),
    Request("get dag details", "GET", f"/api/v2/dags/{DAG}/details", "get_dag_details", said(200, params={})),
    Request("get run", "GET", _RUN, "get_dag_run", _run),
    Request(
        "list runs of a date",
        "GET",
        f"/api/v2/dags/{DAG}/dagRuns",
        "get_dag_runs",
        page("dag_runs", run_row()),
        frozenset({"logical_date_gte"}),
    ),
    Request("clear run", "POST", f"{_RUN}/clear", "clear_dag_run", _run),
    Request("patch run", "PATCH", _RUN, "patch_dag_run", _run),
    Request("list tasks of a run", "GET", f"{_RUN}/taskInstances", "get_task_instances", _tasks),
    Request("patch tasks", "PATCH", f"{_RUN}/taskInstances", "bulk_task_instances", said(200, update={"errors": []})),
    Request("list tasks of a dag", "GET", f"/api/v2/dags/{DAG}/tasks", "get_tasks", said(200, tasks=[])),
    Request(
        "get log",
        "GET",
        f"{_RUN}/taskInstances/fit/logs/1",
        "get_log",
        said(200, content=[{"event": "epoch 1"}], continuation_token=None),
    ),
    Request("list questions", "GET", f"{_RUN}/hitlDetails", "get_hitl_details", page("hitl_details")),
    Request(
        "list xcoms",
        "GET",
        f"{_RUN}/taskInstances/(?:~|fit)/xcomEntries",
        "get_xcom_entries",
        page("xcom_entries", {"task_id": "fit", "map_index": -1, "timestamp": AT}),
    ),
    Request(
        "get xcom",
        "GET",
        f"{_RUN}/taskInstances/fit/xcomEntries/mljob_outputs",
        "get_xcom_entry",
        said(200, value='{"a": 1}'),
    ),
    Request(
        "get child xcom",
        "GET",
        f"{_RUN}/taskInstances/fit/xcomEntries/trigger_run_id",
        "get_xcom_entry",
        said(200, value=json.dumps(CHILD_RUN)),
    ),
    Request(
        "get task",
        "GET",
        f"{_RUN}/taskInstances/fit/-1",
        "get_mapped_task_instance",
        said(200, rendered_fields={"trigger_dag_id": DAG}),
    ),
    Request("get dag", "GET", _DAG, "get_dag", said(200, is_paused=False, is_stale=False)),
    Request(
        "list changed runs",
        "GET",
        "/api/v2/dags/~/dagRuns",
        "get_dag_runs",
        page("dag_runs", run_row()),
        frozenset({"updated_at_gte", "run_id_prefix_pattern"}),
    ),
    Request(
        "list active runs", "GET", "/api/v2/dags/~/dagRuns", "get_dag_runs", page("dag_runs"), frozenset({"state"})
    ),
    Request(
        "list changed tasks",
        "GET",
        "/api/v2/dags/~/dagRuns/~/taskInstances",
        "get_task_instances",
        page("task_instances", task_row()),
    ),
    Request("create backfill", "POST", "/api/v2/backfills", "create_backfill", said(200, **backfill_row())),
    Request("list backfills", "GET", "/api/v2/backfills", "list_backfills", page("backfills", backfill_row())),
    Request("pause backfill", "PUT", "/api/v2/backfills/7/pause", "pause_backfill", said(200, **backfill_row())),
    Request("unpause backfill", "PUT", "/api/v2/backfills/7/unpause", "unpause_backfill", said(200, **backfill_row())),
    Request("cancel backfill", "PUT", "/api/v2/backfills/7/cancel", "cancel_backfill", said(200, **backfill_row())),
    Request(
        "list runs of a backfill",
        "GET",
        f"/api/v2/dags/{BACKFILL_DAG}/dagRuns",
        "get_dag_runs",
        page("dag_runs", _MEMBER),
        frozenset({"conf_contains"}),
    ),
    Request(
        "list changed runs of backfills",
        "GET",
        "/api/v2/dags/~/dagRuns",
        "get_dag_runs",
        page("dag_runs", _MEMBER),
        frozenset({"conf_contains"}),
    ),
    Request(
        "count runs of a range",
        "GET",
        f"/api/v2/dags/{BACKFILL_DAG}/dagRuns",
        "get_dag_runs",
        page("dag_runs"),
        frozenset({"logical_date_gte"}),
    ),
]


class ScriptedAirflow(LoopbackServer):
    """An HTTP server with scripted responses. The constructor starts the server.

    Attributes:
        told: Responses that replace the default responses, by the name of the request. A value may
            be a function of the query parameters.
        everything: The response to all requests, or None.
        asked: The names of the received requests, in order. An unknown request appears as method
            and path.
        go_on: A test sets this event to end all slow responses (``HANGS`` and ``DRIPS``).
    """

    def __init__(self) -> None:
        self.told: dict[str, Told | Callable[[Mapping[str, list[str]]], Told]] = {}
        self.everything: Told | None = None
        self.asked: list[str] = []
        self.go_on = threading.Event()
        scripted = self

        class Handler(QuietHandler):
            def answer(self) -> None:
                self.do(scripted.answer(self.command, self.path, json.loads(self.content() or b"{}")))

            def do(self, told: Told) -> None:
                match told:
                    case Says(status, body, content_type, headers):
                        self.reply(status, body.encode(), content_type, {"Date": "", **headers})
                    case _ if told is HANGS:
                        scripted.go_on.wait(30)
                    case _ if told is RESETS:
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        self.connection.close()
                    case _ if told is POURS:
                        self.begin(200, "application/json", {})
                        self.wfile.write(b'{"dag_id": "')
                        for _ in range(HUGE // 65536):
                            self.wfile.write(b"x" * 65536)
                    case _ if told is BREAKS_OFF:
                        self.begin(200, "application/json", {"Content-Length": "1000"})
                        self.wfile.write(b'{"dag_id": "tr')
                    case _ if told is DRIPS:
                        self.begin(200, "application/json", {"Content-Length": "1000"})
                        while not scripted.go_on.wait(0.02):
                            self.wfile.write(b" ")

            def begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
                self.send_response_only(status)
                for name, value in {"Content-Type": content_type, **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()

        super().__init__(Handler)
        self.start()

    def answer(self, method: str, path_and_query: str, body: Mapping[str, Any]) -> Told:
        parts = urlsplit(path_and_query)
        query = parse_qs(parts.query, keep_blank_values=True)
        matching = [
            (len(request.query), request, found.groupdict())
            for request in REQUESTS
            if request.method == method and request.query <= query.keys()
            if (found := re.fullmatch(request.path, parts.path)) is not None
        ]
        if not matching:
            self.asked.append(f"{method} {parts.path}")
            return self.everything or refused(404, "Not Found")
        _, request, path = max(matching, key=lambda match: match[0])
        self.asked.append(request.name)
        if self.everything is not None:
            return self.everything
        if (told := self.told.get(request.name)) is not None:
            return told(query) if callable(told) else told
        return request.answer(path, body) if callable(request.answer) else request.answer

    def close(self) -> None:
        self.go_on.set()
        super().close()
