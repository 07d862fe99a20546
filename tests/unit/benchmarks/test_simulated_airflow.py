from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from benchmarks.simulated_airflow.airflow import Settings, SimulatedAirflow
from benchmarks.simulated_airflow.catalog import all_dags
from benchmarks.simulated_airflow.dags import CANCEL_DAG, Dag, cancellation_dag, read_dags
from benchmarks.simulated_airflow.events import Events, Format, Message
from benchmarks.simulated_airflow.faults import FaultPlan, Faults, RequestFault
from benchmarks.simulated_airflow.scheduler import Scheduler
from benchmarks.simulated_airflow.server import MAX_BODY, Served, served
from mljob_contract.events import RunCancellation, TaskEvent
from mljob_operator.core.run.events import read
from mljob_operator.core.run.states import RunState, TaskState
from tests.live.eventually import eventually

GOLDEN = Path(__file__).parents[2] / "contract" / "golden"
FIVE = Dag(dag_id="five", tasks=tuple("abcde"), queued_seconds=0, task_seconds=0)
WAITS = Dag(dag_id="waits", tasks=("a", "b"), queued_seconds=0, outcome="waits")
RUN = "mljob.team-a.churn.aaaaaaaaaa-1"


class Recorder:
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, messages: Iterable[Message]) -> None:
        self.messages += messages

    def values(self) -> list[dict[str, Any]]:
        return [json.loads(message.value) for message in self.messages]


@contextmanager
def recording(form: Format, *dags: Dag, seed: int = 0) -> Iterator[tuple[Served, Recorder]]:
    airflow, recorder = SimulatedAirflow([*dags, cancellation_dag()]), Recorder()
    airflow.scheduler = Scheduler(airflow.store, airflow.backfills, Events(form), recorder, seed=seed)
    with served(airflow) as server:
        yield server, recorder


def submit(server: Served, dag: Dag, run_id: str = RUN, conf: dict[str, Any] | None = None) -> None:
    def add(airflow: SimulatedAirflow) -> None:
        airflow.scheduler.plan(airflow.store.add(airflow.store.dags[dag.dag_id], run_id, conf or {}))

    server.do(add)


def until(server: Served, state: RunState, dag: Dag = FIVE, run_id: str = RUN) -> None:
    eventually(lambda: server.do(lambda it: it.store.runs(dag.dag_id) and _state(it, dag, run_id) is state), state)


def _state(airflow: SimulatedAirflow, dag: Dag, run_id: str) -> RunState | None:
    run = airflow.store.get(dag.dag_id, run_id)
    return run.state if run is not None else None


class Client:
    def __init__(self, server: Served) -> None:
        self._url = server.url
        self._pool = urllib3.PoolManager(retries=False)
        self._headers = {"Authorization": f"Bearer {server.do(lambda it: it.log_in('admin', 'secret'))}"}

    def __call__(self, method: str, path: str, body: Any = None, **fields: str) -> urllib3.BaseHTTPResponse:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        query = "&".join(f"{name}={value}" for name, value in fields.items())
        return self._pool.request(
            method, f"{self._url}{path}{query and '?' + query}", headers=self._headers, body=content
        )


# Events


def test_run_of_five_tasks_has_the_twelve_events_of_airflows_producer() -> None:
    with recording(Format.AIRFLOW, FIVE) as (server, recorder):
        submit(server, FIVE)
        until(server, RunState.SUCCESS)
    told = [(value["event"], value.get("task_id")) for value in recorder.values()]
    tasks = [(f"task_instance.{state}", task) for task in "abcde" for state in ("running", "success")]
    assert told == [("dag_run.running", None), *tasks, ("dag_run.success", None)]


def test_events_have_the_fields_of_recorded_ones() -> None:
    progressing = FIVE.model_copy(update={"progress_reports": 1})
    with recording(Format.BOTH, progressing) as (server, recorder):
        submit(server, progressing)
        until(server, RunState.SUCCESS)
    recorded: dict[tuple[str, str], set[str]] = {}
    for version, folder in (("schema_version", "official"), ("mljob_version", "ours")):
        for file in (GOLDEN / folder).glob("*.json"):
            for line in file.read_text().splitlines():
                value = json.loads(line)["value"]
                recorded.setdefault((version, value["event"]), set()).update(value)
    assert len(recorder.messages) == 12 + 15
    for message in recorder.messages:
        value = json.loads(message.value)
        version = "mljob_version" if "mljob_version" in value else "schema_version"
        assert value.keys() <= recorded[version, value["event"]]
        assert message.key == f"five/{RUN}"
        assert read(message.value, datetime.now(UTC)).run_id == RUN
        if version == "mljob_version":
            assert TaskEvent.model_validate(value).mljob is not None
            assert dict(message.headers)["ce_type"] == f"dev.mljob.{value['event']}"


def test_cancellation_dag_ends_its_target_and_says_so() -> None:
    with recording(Format.PROVIDER, WAITS) as (server, recorder):
        submit(server, WAITS)
        until(server, RunState.RUNNING, WAITS)
        submit(server, cancellation_dag(), f"cancel.{RUN}", {"dag_id": "waits", "dag_run_id": RUN, "reason": "enough"})
        until(server, RunState.FAILED, WAITS)
        states = server.do(lambda it: [task.state for run in it.store.runs("waits") for task in run.tasks.values()])
        until(server, RunState.SUCCESS, Dag(dag_id=CANCEL_DAG), f"cancel.{RUN}")
    assert states == [TaskState.FAILED, TaskState.SKIPPED]
    (value,) = [value for value in recorder.values() if value["event"] == "dag_run.cancellation"]
    event = RunCancellation.model_validate(value)
    assert (event.run_id, event.outcome, event.reason, event.failed_task_instances) == (RUN, "cancelled", "enough", 1)


# Runs


def test_run_of_a_paused_dag_starts_when_the_dag_is_unpaused() -> None:
    paused = FIVE.model_copy(update={"is_paused": True})
    with served(SimulatedAirflow([paused])) as server:
        ask = Client(server)
        body = {"dag_run_id": RUN, "logical_date": None}
        assert ask("POST", "/api/v2/dags/five/dagRuns", body).status == 200
        assert ask("POST", "/api/v2/dags/five/dagRuns", body).status == 409
        assert ask("GET", "/api/v2/dags", paused="true").json()["total_entries"] == 1
        assert server.do(lambda it: _state(it, FIVE, RUN)) is RunState.QUEUED
        assert ask("PATCH", "/api/v2/dags/five", {"is_paused": False}).json()["is_paused"] is False
        until(server, RunState.SUCCESS)
        counts = ask("GET", "/simulation").json()
        assert counts["requests"]["POST /api/v2/dags/{dag_id}/dagRuns 409"] == 1
        assert (counts["runs"], counts["active"]) == ({"five": 1}, 0)
        ends, task_ends = (ask("GET", f"/simulation/{name}").json() for name in ("ends", "task-ends"))
        assert ends.keys() == task_ends.keys() == {RUN}
        assert len(task_ends[RUN]) == 5
        assert task_ends[RUN] == sorted(task_ends[RUN])
        assert task_ends[RUN][-1] <= ends[RUN]


def test_runs_start_at_the_rate_that_is_asked_for() -> None:
    def later(airflow: SimulatedAirflow) -> list[float]:
        soon = time.monotonic() + 10
        turns = sorted(at for at, _ in airflow.scheduler.waiting())
        return turns if len(turns) == 3 and turns[0] > soon else []

    with served(SimulatedAirflow([FIVE], Settings(starts_per_second=0.05))) as server:
        for number in range(3):
            submit(server, FIVE, f"{RUN}{number}")
        due = eventually(lambda: server.do(later), "their turns are 20, 40 and 60 s away")
    assert [round(later - due[0]) for later in due] == [0, 20, 40]


def test_task_that_a_person_has_failed_stays_failed() -> None:
    airflow = SimulatedAirflow([FIVE])
    run = airflow.store.add(FIVE, RUN, {})
    life = airflow.scheduler.life(run)
    assert [next(life), next(life)] == [0, 0], "queued, and then its first task runs"
    assert run.tasks["a", -1].state is TaskState.RUNNING
    airflow.scheduler.set_task(run.tasks["a", -1], TaskState.FAILED)
    assert list(life) == []
    states = [task.state for task in run.tasks.values()]
    assert (run.state, states) == (RunState.FAILED, [TaskState.FAILED, *[TaskState.UPSTREAM_FAILED] * 4])


def test_cleared_run_takes_its_failed_task_again() -> None:
    fails = FIVE.model_copy(update={"outcome": "failed"})
    with served(SimulatedAirflow([fails])) as server:
        submit(server, fails)
        until(server, RunState.FAILED)
        server.do(lambda it: it.store.dags.update(five=FIVE))
        Client(server)("POST", f"/api/v2/dags/five/dagRuns/{RUN}/clear", {"only_failed": True, "dry_run": False})
        until(server, RunState.SUCCESS)
        tries = server.do(lambda it: [task.try_number for run in it.store.runs() for task in run.tasks.values()])
    assert tries == [1, 1, 1, 1, 2]


def test_lists_go_on_after_a_cursor_and_name_what_changed_alone() -> None:
    paused = FIVE.model_copy(update={"is_paused": True})
    with served(SimulatedAirflow([paused])) as server:
        for number in range(7):
            submit(server, paused, f"{RUN}{number}")
        ask, path = Client(server), "/api/v2/dags/~/dagRuns"
        found, cursor = [], ""
        while cursor is not None:
            page = ask("GET", path, limit="3", cursor=cursor, state="queued").json()
            found += [row["dag_run_id"] for row in page["dag_runs"]]
            cursor = page["next_cursor"]
        assert found == [f"{RUN}{number}" for number in range(7)]
        since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        ask("PATCH", f"/api/v2/dags/five/dagRuns/{RUN}3", {"note": "changed"})
        changed = ask("GET", path, updated_at_gte=since).json()["dag_runs"]
        assert [(row["dag_run_id"], row["note"]) for row in changed] == [(f"{RUN}3", "changed")]


def test_backfill_completes_with_its_last_run_or_without_any() -> None:
    daily = FIVE.model_copy(update={"daily": True})
    body = {"dag_id": "five", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}
    with served(SimulatedAirflow([daily])) as server:
        ask = Client(server)

        def completed() -> list[bool]:
            rows = ask("GET", "/api/v2/backfills", dag_id="five").json()["backfills"]
            return [row["completed_at"] is not None for row in rows]

        assert ask("POST", "/api/v2/backfills", body).status == 200
        eventually(lambda: completed() == [True], "both days have run")
        assert server.do(lambda it: [run.state for run in it.store.runs("five")]) == [RunState.SUCCESS] * 2
        assert ask("POST", "/api/v2/backfills", body).json()["completed_at"] is None
        assert completed() == [True, True], "it keeps both runs"


# Faults


def test_same_seed_draws_the_same_faults() -> None:
    faults = Faults(errors=0.2, throttled=0.2, resets=0.2, lost_answers=0.2, latency_seconds=1)
    events = Faults(lost_events=0.2, doubled_events=0.2, late_events=0.2, late_seconds=3)

    def drawn(seed: int) -> list[Any]:
        requests, messages = FaultPlan(seed, faults), FaultPlan(seed, events)
        return [(requests.of_request("GET /"), messages.of_event()) for _ in range(300)]

    assert drawn(1) == drawn(1) != drawn(2)
    kinds = {fault for (_, fault), _ in drawn(1)}
    assert kinds == {None, *RequestFault}
    assert {delays for _, delays in drawn(1)} == {(), (0.0,), (0.0, 0.0), (3.0,)}
    assert all(0.5 <= delay <= 1.5 for (delay, _), _ in drawn(1))


def test_faults_concern_the_requests_that_they_name() -> None:
    with served(SimulatedAirflow([FIVE])) as server:
        ask = Client(server)
        triggers = {"paths": "POST .*/dagRuns"}
        body = {"dag_run_id": RUN, "logical_date": None}
        path = "/api/v2/dags/five/dagRuns"

        def put(**faults: Any) -> None:
            assert ask("PUT", "/simulation/faults", triggers | faults).status == 200

        put(errors=1)
        assert ask("POST", path, body).status == 503
        put(throttled=1, retry_after_seconds=7)
        answer = ask("POST", path, body)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        put(resets=1)
        with pytest.raises(urllib3.exceptions.ProtocolError, match="Connection aborted"):
            ask("POST", path, body)
        assert ask("GET", f"{path}/{RUN}").status == 404
        put(lost_answers=1)
        with pytest.raises(urllib3.exceptions.ProtocolError, match="Connection aborted"):
            ask("POST", path, body)
        put()
        assert ask("POST", path, body).status == 409


# What is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "named"),
    [
        ("POST", "/api/v2/dags/five/dagRuns", [], 422, "body: has to be an object"),
        ("POST", "/api/v2/dags/five/dagRuns", b"{", 422, "is no JSON"),
        ("POST", "/api/v2/dags/five/dagRuns", b"[" * 100_000, 422, "is no JSON"),
        ("POST", "/api/v2/dags/five/dagRuns", {"dag_run_id": "a"}, 422, "body.logical_date: Field required"),
        ("POST", "/api/v2/dags/five/dagRuns", {"dag_run_id": "a b", "logical_date": None}, 400, "run_id 'a b'"),
        ("POST", "/api/v2/dags/five/dagRuns", {"dag_run_id": "a", "logical_date": "noon"}, 422, "'noon' is no time"),
        ("POST", "/api/v2/dags/none/dagRuns", {}, 404, "`none` was not found"),
        ("GET", "/api/v2/dags/~/dagRuns?limit=many", None, 422, "limit: 'many'"),
        ("PATCH", f"/api/v2/dags/five/dagRuns/{RUN}", {"state": "running"}, 404, RUN),
        ("PUT", "/api/v2/backfills/9/pause", None, 404, "Backfill not found"),
        ("PUT", "/simulation/faults", {"errors": 2}, 422, "body.errors"),
        ("PUT", "/simulation/faults", {"paths": "("}, 422, "body.paths"),
        ("PUT", "/simulation/faults", {"typo": 1}, 422, "body.typo"),
    ],
)
def test_request_that_does_not_fit_is_refused_with_its_field(
    method: str, path: str, body: Any, status: int, named: str
) -> None:
    with served(SimulatedAirflow([FIVE])) as server:
        answer = Client(server)(method, path, body)
    assert answer.status == status
    assert named in answer.json()["detail"]


def test_large_bodies_and_strangers_are_refused() -> None:
    with served(SimulatedAirflow([FIVE])) as server:
        assert Client(server)("POST", "/api/v2/dags/five/dagRuns", b" " * (MAX_BODY + 1)).status == 413
        pool = urllib3.PoolManager(retries=False)
        assert pool.request("GET", f"{server.url}/api/v2/dags").status == 401
        assert pool.request("PUT", f"{server.url}/simulation/faults", json={}).status == 401
        wrong = {"username": "admin", "password": "wrong"}
        assert pool.request("POST", f"{server.url}/auth/token", json=wrong).status == 401


def test_file_of_dags_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "dags.json"
    file.write_text('[{"dag_id": "mine", "task_seconds": 5}]')
    assert [dag.dag_id for dag in read_dags(file)] == ["mine"]
    file.write_text('[{"dag_id": "mine", "task_seconds": -5}]')
    with pytest.raises(ValueError, match="task_seconds"):
        read_dags(file)


def test_dags_of_the_catalog_are_distinct() -> None:
    ids = [dag.dag_id for dag in all_dags()]
    assert len(ids) == len(set(ids))
