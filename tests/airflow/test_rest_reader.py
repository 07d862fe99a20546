"""The REST client of the monitoring DAGs and of the cancellation DAG."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mljob_airflow.cancellation.airflow_runs import AirflowRuns, unfinished_states
from mljob_airflow.cancellation.plan import FINISHED_TASK_STATES, BatchResult, Task
from mljob_airflow.cancellation.plan import TaskInstance as UnfinishedTask
from mljob_airflow.compatibility import installed_version
from mljob_airflow.monitoring import rest_reader
from mljob_airflow.monitoring.findings.fingerprints import ErrorText
from mljob_airflow.monitoring.observations import Asset, Dag, RunningRuns, TaskInstance
from mljob_airflow.monitoring.rest_reader import AirflowReader
from mljob_airflow.rest.client import MAX_DETAIL_LENGTH, AirflowApiError, Endpoint, fetch_token

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
API = "/api/v2"
GOLDEN = Path(__file__).parents[1] / "contract" / "golden" / "rest"


def row(number: int, **fields: Any) -> dict[str, Any]:
    # A later version of Airflow may send a state and fields that the client does not have.
    given = {
        "id": "x",
        "dag_id": "churn",
        "dag_run_id": f"run-{number}",
        "task_id": "fit",
        "map_index": -1,
        "state": "contemplating",
        "try_number": 1,
        "start_date": NOW.isoformat(),
        "end_date": None,
        "duration": 3.5,
        "scheduled_when": (NOW - timedelta(seconds=9)).isoformat().replace("+00:00", "Z"),
        "queued_when": (NOW - timedelta(seconds=4)).isoformat(),
        "pool": "gpu",
        "pool_slots": 2,
        "from_the_future": {},
    }
    return given | fields


def run_row(run_type: str) -> dict[str, Any]:
    recorded = json.loads((GOLDEN / "parity_branch.run.json").read_text())
    return recorded | {"dag_id": "churn", "run_type": run_type}


class Server:
    """An HTTP server that sends the answers that a test has prepared. For a path without a prepared
    answer, the server sends 404.
    """

    endpoint: Endpoint
    reader: AirflowReader

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.lists: dict[str, tuple[str, list[Any]]] = {}
        self.cursors = True
        self.accepted_states: set[str] | None = None
        """The states for which a list of task instances may be filtered. With another state, the
        server sends 422, as Airflow does. ``None`` accepts every state.
        """
        self.breaks = False
        """Whether the connection breaks in the middle of each answer's body."""
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.sent: list[Any] = []
        """The JSON bodies of the PATCH requests."""

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, object]:
        self.asked.append((path, query))
        if self.accepted_states is not None and not self.accepted_states.issuperset(query.get("state", ())):
            return 422, {"detail": "Invalid value for state"}
        if path in self.lists:
            field, rows = self.lists[path]
            if "run_type" in query:
                rows = [row for row in rows if row["run_type"] in query["run_type"]]
            if "run_id_pattern" in query:
                pattern = query["run_id_pattern"][0].lower()
                rows = [row for row in rows if pattern in row["dag_run_id"].lower()]
            if "map_index" in query:
                rows = [row for row in rows if str(row["map_index"]) in query["map_index"]]
            limit, offset = int(query["limit"][0]), int(query.get("offset", ["0"])[0])
            if self.cursors and "cursor" in query:
                offset = int(query["cursor"][0] or 0)
                after = str(offset + limit) if offset + limit < len(rows) else None
                return 200, {field: rows[offset : offset + limit], "next_cursor": after, "total_entries": len(rows)}
            return 200, {field: rows[offset : offset + limit], "total_entries": len(rows)}
        return self.answers.get(path, (404, {"detail": "not found"}))


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_PATCH(self) -> None:
            state.sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = state.answer(parts.path.removeprefix(API), parse_qs(parts.query, keep_blank_values=True))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if state.breaks else data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.endpoint = Endpoint(f"http://127.0.0.1:{http.server_address[1]}", None, "token")
    state.reader = AirflowReader(state.endpoint)
    yield state
    http.shutdown()
    http.server_close()


TASKS = "/dags/~/dagRuns/~/taskInstances"
RUNS = "/dags/~/dagRuns"


@pytest.mark.parametrize("cursors", [True, False], ids=["with-cursors", "airflow-3.1"])
@pytest.mark.parametrize("number", [0, 1, 100, 250])
def test_all_pages_of_a_list_are_read_once(server: Server, cursors: bool, number: int) -> None:
    server.cursors = cursors
    server.lists[TASKS] = ("task_instances", [row(n) for n in range(number)])
    found = server.reader.waiting_tasks()
    assert [ti.run_id for ti in found.rows] == [f"run-{n}" for n in range(number)]
    assert found.complete
    assert server.reader.requests == max(1, -(-number // 100))


@pytest.mark.parametrize("cursors", [True, False], ids=["with-cursors", "airflow-3.1"])
def test_a_cancellation_reads_all_task_instances_of_a_run(server: Server, cursors: bool) -> None:
    server.cursors = cursors
    recorded = json.loads((GOLDEN / "parity_mapped.task_instances.json").read_text())["task_instances"][0]
    rows = [recorded | {"task_id": f"task_{number}"} for number in range(250)]
    server.lists["/dags/churn/dagRuns/run/taskInstances"] = ("task_instances", rows)
    found = AirflowRuns(server.endpoint).task_instances("churn", "run")
    assert [instance.task_id for instance in found] == [row["task_id"] for row in rows]


def test_a_cancellation_lists_the_unfinished_task_instances_only(server: Server) -> None:
    server.answers["/version"] = (200, {"version": installed_version()})
    server.lists[RUN] = ("task_instances", [row(0, state=None)])
    found = AirflowRuns(server.endpoint).unfinished_task_instances("churn", "run")
    assert [instance.state for instance in found] == [None]
    assert server.asked[-1][1]["state"] == unfinished_states()


@pytest.mark.parametrize(
    "version",
    [(200, {"version": "3.99.0"}), (403, {"detail": "forbidden"})],
    ids=["another-version", "unknown-version"],
)
def test_a_cancellation_finds_unfinished_task_instances_of_another_version_of_airflow(
    server: Server, version: tuple[int, object]
) -> None:
    states = ["running", "success", "contemplating", None, *FINISHED_TASK_STATES]
    server.answers["/version"] = version
    server.lists[RUN] = ("task_instances", [row(number, state=state) for number, state in enumerate(states)])
    server.accepted_states = {"contemplating"}
    runs = AirflowRuns(server.endpoint)
    for _ in range(2):
        found = runs.unfinished_task_instances("churn", "run")
        assert [instance.state for instance in found] == ["running", "contemplating", None]
    assert [path for path, _ in server.asked].count("/version") == 1


def test_this_airflow_accepts_the_unfinished_states_and_they_are_all() -> None:
    from airflow.api_fastapi.common import parameters
    from airflow.utils.state import TaskInstanceState

    accepted = parameters._transform_ti_states(unfinished_states())
    assert set(accepted) == {None, *(state for state in TaskInstanceState if state.value not in FINISHED_TASK_STATES)}


def test_the_tasks_of_a_dag_are_read_from_every_version_of_airflow(server: Server) -> None:
    # Airflow 3.1 sends this unused field with another type.
    given = {"task_id": "fit", "downstream_task_ids": ["stop"], "trigger_rule": "all_done", "is_mapped": False}
    server.answers["/dags/churn/tasks"] = (200, {"tasks": [given | {"retry_exponential_backoff": False}]})
    assert AirflowRuns(server.endpoint).tasks("churn") == [Task("fit", ("stop",), "all_done")]
    assert AirflowRuns(server.endpoint).tasks("gone") == []


@pytest.mark.parametrize(
    ("run", "conf"),
    [({"conf": {"epochs": 3}}, {"epochs": 3}), ({"conf": None}, {}), ({"conf": ["epochs"]}, {}), ({}, {})],
)
def test_the_conf_of_a_run_is_an_object(server: Server, run: dict[str, Any], conf: dict[str, Any]) -> None:
    server.answers["/dags/churn/dagRuns/run"] = (200, run)
    assert AirflowRuns(server.endpoint).conf("churn", "run") == conf
    assert AirflowRuns(server.endpoint).conf("churn", "gone") == {}


@pytest.mark.parametrize(
    ("before", "line", "after"),
    [
        (None, "Cancelled: why", "Cancelled: why"),
        ("old", "Cancelled: why", "old\nCancelled: why"),
        ("o" * 1000, "Cancelled: why", "o" * 984 + "…\nCancelled: why"),
        ("old", "n" * 999, "n" * 999),
        ("old", "n" * 2000, "n" * 999 + "…"),
    ],
)
def test_the_reason_of_a_cancellation_stays_in_a_long_note(
    server: Server, before: str | None, line: str, after: str
) -> None:
    server.answers["/dags/churn/dagRuns/run"] = (200, {"state": "running", "note": before})
    AirflowRuns(server.endpoint).fail_run("churn", "run", line)
    assert server.sent == [{"state": "failed", "note": after}]


BATCH = [UnfinishedTask("fit", -1, "running"), UnfinishedTask("gone", -1, None)]
RUN = "/dags/churn/dagRuns/run/taskInstances"


@pytest.mark.parametrize("entry", ["fit", "churn.run.fit[-1]"], ids=["airflow-3.1", "airflow-3.3"])
def test_task_instances_that_airflow_skips_do_not_count_as_failed(server: Server, entry: str) -> None:
    server.answers[RUN] = (200, {"create": None, "update": {"success": [entry], "errors": []}, "delete": None})
    assert AirflowRuns(server.endpoint).fail_task_instances("churn", "run", BATCH, "why") == BatchResult(1)
    assert [path for path, _ in server.asked] == [RUN]


def test_a_batch_that_airflow_refuses_is_failed_one_by_one(server: Server) -> None:
    refused = {"error": "Task id fit is already in failed state", "status_code": 409}
    server.answers[RUN] = (200, {"update": {"success": [], "errors": [refused]}})
    server.answers[f"{RUN}/fit"] = (409, {"detail": "Task id fit is already in failed state"})
    result = AirflowRuns(server.endpoint).fail_task_instances("churn", "run", BATCH, "why")
    assert result == BatchResult(1, ["could not fail gone: 404 not found"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "Cancelled in try 2: why"),
        ("seen by ada", "seen by ada\nCancelled in try 2: why"),
        ("Cancelled in try 1: why", "Cancelled in try 1: why\nCancelled in try 2: why"),
        ("Cancelled in try 2: why\nseen by ada", "Cancelled in try 2: why\nseen by ada"),
    ],
    ids=["no note", "another note", "an earlier try", "a second round"],
)
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_the_note_of_a_cancelled_task_instance_has_the_try_and_the_reason(
    server: Server, before: str | None, after: str, together: bool
) -> None:
    rows = [row(1, task_id=name, state="running", try_number=2, note=before) for name in ("fit", "load")]
    server.lists[RUN] = ("task_instances", rows)
    runs = AirflowRuns(server.endpoint)
    instances = list(runs.task_instances("churn", "run"))
    del server.lists[RUN]
    server.answers[RUN] = (200, {"update": {"success": ["fit", "load"], "errors": []}})
    server.answers[f"{RUN}/fit"] = (200, {})
    runs.fail_task_instances("churn", "run", instances if together else instances[:1], "why")
    [body] = server.sent
    sent = body["actions"][0]["entities"] if together else [body]
    assert [(entity["new_state"], entity["note"]) for entity in sent] == [("failed", after)] * (2 if together else 1)


def test_a_task_instance_is_cancelled_if_its_note_says_so_of_its_last_try(server: Server) -> None:
    note = "seen by ada\nCancelled in try 2: why"
    server.lists[TASKS] = (
        "task_instances",
        [row(n, state="failed", try_number=n, note=note) for n in (1, 2, 3)] + [row(4, note=None)],
    )
    assert [ti.is_cancelled for ti in server.reader.failed_tasks(NOW).rows] == [False, True, False, False]


def test_a_list_is_read_up_to_a_bound_and_then_marked_incomplete(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_reader, "MAX_TASKS", 150)
    server.lists[TASKS] = ("task_instances", [row(n) for n in range(1000)])
    found = server.reader.failed_tasks(NOW)
    assert (len(found.rows), found.complete) == (200, False)


def test_only_one_page_of_json_is_in_memory(server: Server) -> None:
    page_bytes = 100 * 10_000
    server.lists[TASKS] = ("task_instances", [row(n, rendered_fields={"sql": "x" * 10_000}) for n in range(2000)])
    tracemalloc.start()
    try:
        found = server.reader.waiting_tasks()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(found.rows), found.complete) == (2000, True)
    # The server and the client have several copies of a page.
    assert peak < 10 * page_bytes


def test_the_history_of_a_task_is_read_in_the_given_states(server: Server) -> None:
    server.lists["/dags/churn/dagRuns/~/taskInstances"] = ("task_instances", [row(1, state="failed")])
    [found] = server.reader.task_history("churn", "fit", ["success", "failed"], 100)
    assert (found.run_id, found.state) == ("run-1", "failed")
    [(_, query)] = server.asked
    assert query["state"] == ["success", "failed"]
    assert query["order_by"] == ["-run_after"]


def test_a_task_instance_in_an_unknown_state_is_read_with_its_waits(server: Server) -> None:
    server.lists[TASKS] = ("task_instances", [row(1)])
    [found] = server.reader.waiting_tasks().rows
    assert (found.state, found.pool, found.pool_slots) == ("contemplating", "gpu", 2)
    assert (found.slot_wait, found.worker_wait, found.wait) == (5, 4, 9)


def test_dags_are_listed_by_their_last_run_including_stale_dags(server: Server) -> None:
    server.lists["/dags"] = (
        "dags",
        [
            {
                "dag_id": "churn",
                "owners": ["a", ""],
                "is_stale": True,
                "timetable_summary": None,
                "relative_fileloc": "c.py",
                "tags": [{"name": "mljob-mute", "dag_id": "churn"}],
            }
        ],
    )
    assert server.reader.dags_in_use(NOW).rows == [
        Dag("churn", ("a",), is_stale=True, file="c.py", tags=("mljob-mute",))
    ]
    [(_, query)] = server.asked
    assert query["exclude_stale"] == ["False"] or query["exclude_stale"] == ["false"]
    assert query["dag_run_start_date_gte"][0].startswith("2026-05-04T12:00:00")


def test_a_mapped_task_does_not_hide_the_failures_of_other_tasks(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_reader, "MAX_TASKS", 150)
    mapped = [row(1, task_id="map", map_index=n) for n in range(1000)]
    server.lists[TASKS] = ("task_instances", [*mapped, *(row(n) for n in range(3))])
    found = server.reader.failed_tasks(NOW)
    assert [ti.run_id for ti in found.rows if ti.task_id == "fit"] == ["run-0", "run-1", "run-2"]
    assert [ti.map_index for ti in found.rows if ti.task_id == "map"] == list(range(200))
    assert not found.complete


def test_a_404_is_an_empty_answer(server: Server) -> None:
    assert server.reader.dag("gone") is None
    assert server.reader.owner_links("gone") == {}
    assert server.reader.running_runs("gone") == RunningRuns()
    assert server.reader.task_history("gone", "fit", ["failed"], 10) == []
    assert server.reader.mljob_runs("gone", "mljob", NOW) == []


def test_queued_and_running_runs_of_a_backfill_are_told_apart_from_others(server: Server) -> None:
    runs = [run_row("scheduled"), run_row("backfill"), run_row("manual"), run_row("backfill"), run_row("backfill")]
    server.lists[RUNS] = ("dag_runs", runs)
    assert [run.is_backfill for run in server.reader.queued_runs(NOW).rows] == [False, True, False, True, True]
    server.lists["/dags/churn/dagRuns"] = ("dag_runs", runs)
    assert server.reader.running_runs("churn") == RunningRuns(backfill=3, other=2)


def test_runs_with_a_similar_prefix_are_filtered(server: Server) -> None:
    server.lists["/dags/churn/dagRuns"] = (
        "dag_runs",
        [{"dag_run_id": "mljob2.a.b.abcdefg234-1"}, {"dag_run_id": "mljob_x"}],
    )
    assert server.reader.mljob_runs("churn", "mljob", NOW) == []
    server.lists["/dags/churn/dagRuns"][1].append({"dag_run_id": "mljob.a.b.abcdefg234-1"})
    assert server.reader.mljob_runs("churn", "mljob", NOW) == ["mljob.a.b.abcdefg234-1"]


@pytest.mark.parametrize(
    "others",
    [[f"scheduled__{n}" for n in range(200)], [f"gpu-mljob.a.b.abcdefg234-{n + 1}" for n in range(30)]],
    ids=["scheduled", "another-cluster"],
)
def test_newer_runs_of_others_do_not_hide_the_runs_of_mljobs(server: Server, others: list[str]) -> None:
    ours = [f"mljob.a.b.abcdefg234-{n}" for n in range(30, 0, -1)]
    server.lists["/dags/churn/dagRuns"] = ("dag_runs", [{"dag_run_id": run_id} for run_id in [*others, *ours]])
    assert server.reader.mljob_runs("churn", "mljob", NOW) == ours[:20]
    assert server.reader.requests == 1


def test_assets_show_which_dags_are_scheduled_on_which(server: Server) -> None:
    asset = {"producing_tasks": [{"dag_id": "raw"}], "scheduled_dags": [{"dag_id": "report"}, {"dag_id": "raw"}]}
    server.lists["/assets"] = ("assets", [asset, {"producing_tasks": [{"dag_id": "lonely"}], "scheduled_dags": []}])
    assert server.reader.assets().rows == [
        Asset(frozenset({"raw"}), frozenset({"report", "raw"})),
        Asset(frozenset({"lonely"})),
    ]


def test_lists_of_assets_and_pools_are_marked_incomplete_if_they_are_cut(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_reader, "MAX_RUNS", 100)
    server.lists["/assets"] = ("assets", [{}] * 101)
    server.lists["/pools"] = ("pools", [{"name": f"pool-{n}", "slots": 1} for n in range(101)])
    assert not server.reader.assets().complete
    assert not server.reader.pools().complete


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_error_says_which_request_failed_and_what_airflow_said(server: Server, status: int) -> None:
    server.answers["/pools"] = (status, {"detail": "no way"})
    with pytest.raises(AirflowApiError, match=f"could not list pools: {status} no way") as caught:
        server.reader.pools()
    assert caught.value.status == status


PAGE = b"<html>\n" + b"<p>Welcome to the proxy</p>" * 1000


@pytest.mark.parametrize(
    "body",
    [PAGE, b"", b"\xff", b"[]", b'"text"', b"[" * 100_000],
    ids=["page", "empty", "no-text", "list", "text", "deep"],
)
def test_an_answer_that_is_not_a_json_object_names_the_request(server: Server, body: bytes) -> None:
    server.answers["/pools"] = (200, body)
    with pytest.raises(AirflowApiError, match=r"could not list pools: the answer is not a JSON object\.") as caught:
        server.reader.pools()
    assert caught.value.status == 200
    assert len(str(caught.value)) < MAX_DETAIL_LENGTH + 200


def test_an_answer_that_is_a_page_is_quoted(server: Server) -> None:
    server.answers["/pools"] = (200, PAGE)
    with pytest.raises(AirflowApiError, match=r"The answer: <html> <p>Welcome to the proxy</p>.*…$"):
        server.reader.pools()


def test_a_long_detail_of_an_error_is_cut(server: Server) -> None:
    server.answers["/pools"] = (500, {"detail": "x" * 100_000})
    with pytest.raises(AirflowApiError, match=r"could not list pools: 500 x+…$") as caught:
        server.reader.pools()
    assert len(str(caught.value)) < MAX_DETAIL_LENGTH + 100


@pytest.mark.parametrize(
    "answer",
    [PAGE, b'"secret"', [{"access_token": "secret"}], {"token": "secret"}, {"access_token": ["secret"]}],
    ids=["page", "text", "list", "no-token", "no-text"],
)
def test_a_login_whose_answer_has_no_token_names_the_request_and_does_not_quote_the_answer(
    server: Server, answer: object
) -> None:
    server.answers["/auth/token"] = (200, answer)
    url = server.endpoint.base_url
    with pytest.raises(AirflowApiError, match=f"could not log in at {url}/auth/token as mljob: the answer") as caught:
        fetch_token(Endpoint(url, "mljob", "password"))
    assert caught.value.status == 200
    assert "secret" not in str(caught.value)


def test_a_login_returns_the_token(server: Server) -> None:
    server.answers["/auth/token"] = (201, {"access_token": "abc"})
    assert fetch_token(Endpoint(server.endpoint.base_url, "mljob", "password")) == "abc"


FAILED = TaskInstance("churn", "run-1", "fit", state="failed", try_number=2)
LOG = "/dags/churn/dagRuns/run-1/taskInstances/fit/logs/2"
RAISED = {
    "event": "Task failed with exception",
    "level": "error",
    "error_detail": [{"exc_type": "ValueError", "exc_value": "no rows"}],
}


def log(*lines: object) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in lines)


def test_the_last_error_of_a_long_log_is_found(server: Server) -> None:
    chatter = [{"event": f"epoch {n}, error 0.{n}", "level": "info"} for n in range(20_000)]
    server.answers[LOG] = (200, log(*chatter, RAISED, {"event": "done", "level": "info"}))
    assert server.reader.last_error(FAILED) == ErrorText("ValueError", "no rows")


def test_a_log_is_read_up_to_a_bound(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_reader, "MAX_LOG_BYTES", 65536)
    server.answers[LOG] = (200, log(*[{"event": "x" * 100, "level": "info"}] * 5000, RAISED))
    assert server.reader.last_error(FAILED) is None


def test_a_long_line_is_not_kept_in_memory(server: Server) -> None:
    bar = b"\r 50% error" * 2_000_000
    server.answers[LOG] = (200, log(RAISED) + b"\n" + bar + b"\n" + log({"event": "lost", "level": "error"}))
    tracemalloc.start()
    try:
        assert server.reader.last_error(FAILED) == ErrorText("ValueError", "no rows")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(bar) / 2


def test_the_lines_after_a_long_line_are_read(server: Server) -> None:
    server.answers[LOG] = (200, b"\r 50% error" * 200_000 + b"\n" + log(RAISED))
    assert server.reader.last_error(FAILED) == ErrorText("ValueError", "no rows")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe error", b'{"event": "error', log("error", 5, None), b"[" * 100_000 + b"error"],
    ids=["empty", "no-text", "cut", "no-object", "deep"],
)
def test_a_log_in_another_format_has_no_error(server: Server, content: bytes) -> None:
    server.answers[LOG] = (200, content)
    assert server.reader.last_error(FAILED) is None


def test_a_log_whose_connection_breaks_names_the_request(server: Server) -> None:
    server.answers[LOG] = (200, log(*[{"event": "x" * 100, "level": "info"}] * 5000, RAISED))
    server.breaks = True
    with pytest.raises(AirflowApiError, match=r"could not read the log of churn\.fit: .*IncompleteRead") as caught:
        server.reader.last_error(FAILED)
    assert caught.value.status is None


def test_a_list_whose_connection_breaks_names_the_request(server: Server) -> None:
    server.lists["/pools"] = ("pools", [{"name": "default_pool", "slots": 1}])
    server.breaks = True
    with pytest.raises(AirflowApiError, match=r"could not list pools: .*IncompleteRead"):
        server.reader.pools()


def test_a_missing_log_has_no_error_and_a_forbidden_log_is_refused(server: Server) -> None:
    assert server.reader.last_error(FAILED) is None
    server.answers[LOG] = (403, {"detail": "no"})
    with pytest.raises(AirflowApiError, match="could not read the log"):
        server.reader.last_error(FAILED)
