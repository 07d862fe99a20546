"""One run of the cancellation DAG cancels several other runs, and reports on each of these runs."""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka import Consumer, TopicPartition

from devstack.stack import Stack
from mljob_contract.events import CE_TYPE_PREFIX, RunCancellation
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation

CANCELLER = "mljob_cancel"
WAITING, TEARDOWN, QUEUED, SHORT = "cancelled_waiting", "cancelled_teardown", "cancelled_queued", "parity_empty"
POOL = "cancelled_no_slots"
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

STATES_OF_WAITING = {
    "asks": ["awaiting_input"],
    "defers": ["deferred"],
    "reschedules": ["up_for_reschedule"],
    "retries": ["up_for_retry"],
    "gets_no_slot": ["scheduled"],
    "works": ["running", "running"],
    "gives_numbers_never": ["scheduled"],
    "is_not_expanded": [None],
    "end": [None],
}
"""The states of the task instances of ``WAITING``, by task id. These are all states of unfinished
tasks, except for queued and restarting.
"""


class Runs:
    """Triggers runs and their cancellations, and reads from Airflow and Kafka how the runs end."""

    def __init__(self, airflow: AirflowRest, stack: Stack) -> None:
        self.airflow = airflow
        self.begun: list[tuple[str, str]] = []
        self._topic = stack.env["MLJOB_EVENTS_TOPIC"]
        self._consumer = Consumer({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"], "group.id": "reports"})
        self._said: dict[tuple[str, str], list[Any]] = defaultdict(list)
        partitions = self._consumer.list_topics(self._topic, timeout=30).topics[self._topic].partitions
        ends = [self._consumer.get_watermark_offsets(TopicPartition(self._topic, n), timeout=30)[1] for n in partitions]
        self._consumer.assign([TopicPartition(self._topic, n, end) for n, end in zip(partitions, ends, strict=True)])

    def begin(self, dag_id: str, **conf: Any) -> str:
        run_id = f"test-{secrets.token_hex(4)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        status, answer = self.airflow.request("POST", f"/dags/{dag_id}/dagRuns", body)
        assert status == 200, answer
        self.begun.append((dag_id, run_id))
        return run_id

    def cancel(self, *runs: tuple[str, str], **conf: Any) -> str:
        targets = [{"dag_id": dag_id, "dag_run_id": run_id} for dag_id, run_id in runs]
        return self.begin(CANCELLER, targets=targets, reason="a test", **conf)

    def states(self, dag_id: str, run_id: str) -> dict[str, list[str | None]]:
        found = defaultdict(list)
        for row in self.airflow.task_instances(dag_id, run_id):
            found[row["task_id"]].append(row["state"])
        return dict(found)

    def state(self, dag_id: str, run_id: str) -> str | None:
        run = self.airflow.run(dag_id, run_id)
        return run["state"] if run else None

    def returned(self, run_id: str) -> dict[str, Any]:
        """Wait until a run of the cancellation DAG has ended, and check that the run has succeeded.
        Return the return value of the run's task: the results of the cancellations.
        """
        eventually(lambda: self.state(CANCELLER, run_id) in OVER, "the cancellation is over", within=180)
        assert self.state(CANCELLER, run_id) == "success", self.log(run_id)
        path = f"/dags/{CANCELLER}/dagRuns/{quote(run_id, safe='')}/taskInstances/cancel/xcomEntries"
        assert [entry["key"] for entry in self.airflow.get(path)["xcom_entries"]] == ["return_value"]
        value: dict[str, Any] = self.airflow.get(f"{path}/return_value")["value"]
        return value

    def log(self, run_id: str) -> str:
        path = f"/dags/{CANCELLER}/dagRuns/{quote(run_id, safe='')}/taskInstances/cancel/logs/1"
        return json.dumps(self.airflow.request("GET", path)[1])[-3000:]

    def reported(self, dag_id: str, run_id: str) -> Any:
        """Return the newest event about the cancellation of a run, and its Kafka message. Return
        None if there is no such event.
        """
        while (message := self._consumer.poll(0.1)) is not None:
            value = message.value() or b""
            if message.error() is None and b"dag_run.cancellation" in value:
                event = RunCancellation.model_validate_json(value)
                self._said[event.dag_id, event.run_id].append((event, message))
        return self._said[dag_id, run_id][-1] if self._said[dag_id, run_id] else None

    def end(self) -> None:
        self._consumer.close()
        for dag_id, run_id in self.begun:
            if self.state(dag_id, run_id) not in {*OVER, None}:
                self.airflow.end(dag_id, run_id)


@pytest.fixture
def runs(airflow: AirflowRest, stack: Stack) -> Iterator[Runs]:
    airflow.request("DELETE", f"/pools/{POOL}")
    status, answer = airflow.request("POST", "/pools", {"name": POOL, "slots": 0})
    assert status == 201, answer
    airflow.pause(QUEUED, paused=True)
    runs = Runs(airflow, stack)
    yield runs
    runs.end()
    airflow.pause(QUEUED, paused=False)


def unreadable(installation: Installation) -> float:
    return installation.operator.metrics().get(("mljob_events_total", "unreadable"), 0)


def test_one_cancellation_ends_several_runs_whatever_their_tasks_wait_for(
    runs: Runs, airflow: AirflowRest, tmp_path: Path, with_kafka: Installation
) -> None:
    given_back, never = tmp_path / "given-back", tmp_path / "never"
    done, waiting, queued = runs.begin(SHORT), runs.begin(WAITING), runs.begin(QUEUED)
    holding, hurried = runs.begin(TEARDOWN, file=str(given_back)), runs.begin(TEARDOWN, file=str(never), seconds=600)
    before = unreadable(with_kafka)
    eventually(
        lambda: runs.states(WAITING, waiting) == STATES_OF_WAITING,
        "a task is in each state",
        within=180,
        evidence=lambda: runs.states(WAITING, waiting),
    )
    for run_id in (holding, hurried):
        eventually(lambda r=run_id: runs.states(TEARDOWN, r)["hold"] == ["running"], "it holds something", within=120)  # type: ignore[misc]
    eventually(lambda: runs.state(SHORT, done) == "success", "one run is over", within=120)
    assert runs.state(QUEUED, queued) == "queued"

    immediate = runs.cancel((TEARDOWN, hurried), mode="immediate")
    targets = [(WAITING, waiting), (TEARDOWN, holding), (QUEUED, queued), (SHORT, done), (SHORT, "never-was")]
    # On a busy machine a teardown may start later than after the usual 30 s.
    graceful = runs.cancel(*targets, teardown_seconds=120)
    rows = runs.returned(graceful)["targets"] + runs.returned(immediate)["targets"]

    expected = {
        (WAITING, waiting): ("cancelled", "failed"),
        (TEARDOWN, holding): ("cancelled", "failed"),
        (QUEUED, queued): ("cancelled", "failed"),
        (SHORT, done): ("already_over", "success"),
        (SHORT, "never-was"): ("not_found", None),
        (TEARDOWN, hurried): ("cancelled", "failed"),
    }
    assert {(row["dag_id"], row["dag_run_id"]): (row["outcome"], row["state"]) for row in rows} == expected
    for (dag_id, run_id), (_, state) in expected.items():
        assert runs.state(dag_id, run_id) == state
        if state is not None:
            assert not [
                found for of_task in runs.states(dag_id, run_id).values() for found in of_task if found not in OVER
            ]
    assert set(runs.states(WAITING, waiting)["works"]) == {"failed"}

    assert given_back.read_text() == "given back"
    assert runs.states(TEARDOWN, holding)["give_back"] == ["success"]
    assert runs.states(TEARDOWN, hurried)["give_back"] == ["failed"]
    assert not never.exists()

    for (dag_id, run_id), (outcome, state) in expected.items():
        event, message = eventually(lambda d=dag_id, r=run_id: runs.reported(d, r), f"{run_id} is reported")  # type: ignore[misc]
        assert (event.outcome.value, event.state, event.reason, event.errors) == (outcome, state, "a test", ())
        assert event.mode.value == ("immediate" if run_id == hurried else "graceful")
        assert event.cancelled_by == (immediate if run_id == hurried else graceful)
        assert message.key() == f"{dag_id}/{run_id}".encode()
        assert dict(message.headers())["ce_type"].decode() == CE_TYPE_PREFIX + "dag_run.cancellation"
    assert unreadable(with_kafka) == before
