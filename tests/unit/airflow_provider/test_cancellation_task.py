from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from mljob_airflow import settings
from mljob_airflow.cancellation import task as cancellation_task
from mljob_airflow.cancellation.plan import Task, TaskInstance
from mljob_airflow.cancellation.runs import CancellationError, Summary, Target
from mljob_airflow.cancellation.task import event_of, not_over, targets_of
from mljob_airflow.events import producer
from mljob_airflow.events.cloudevents import message_from_cancellation
from mljob_contract.backfill_marker import Marker
from mljob_contract.events import CancellationMode, CancellationOutcome, MLJobRef, RunCancellation
from mljob_operator.core.run.events import read
from mljob_operator.core.run.facts import RunFact

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
RUN_ID = "mljob.team-a.churn.abcdefgh23-1"
DEFAULTS: dict[str, Any] = {
    "dag_id": None,
    "dag_run_id": None,
    "targets": [],
    "reason": "r",
    "mode": "graceful",
    "teardown_seconds": 30,
}


def target(dag_id: str) -> dict[str, str]:
    return {"dag_id": dag_id, "dag_run_id": "run"}


@pytest.mark.parametrize(
    ("params", "dag_ids"),
    [
        pytest.param(target("a"), ["a"], id="one run, as the operator asks"),
        pytest.param({"targets": [target("b"), target("c")]}, ["b", "c"], id="several"),
        pytest.param({**target("a"), "targets": [target("b")]}, ["a", "b"], id="one, and others"),
        pytest.param({**target("a"), "targets": [target("a")]}, ["a"], id="one twice"),
    ],
)
def test_the_params_name_runs(params: dict[str, Any], dag_ids: list[str]) -> None:
    assert targets_of({**DEFAULTS, **params}) == [Target(dag_id, "run") for dag_id in dag_ids]


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        pytest.param({}, "no run to cancel: set dag_id and dag_run_id, or targets", id="nothing"),
        pytest.param({"dag_id": "a"}, "dag_id is set, and dag_run_id is not", id="no run"),
        pytest.param(
            {"dag_run_id": "run", "targets": [target("b")]}, "dag_run_id is set, and dag_id is not", id="no DAG"
        ),
    ],
)
def test_params_that_name_no_run_are_refused(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        targets_of({**DEFAULTS, **params})


def summary(
    outcome: CancellationOutcome = CancellationOutcome.CANCELLED,
    state: str | None = "failed",
    run_id: str = RUN_ID,
    errors: Sequence[str] = (),
) -> Summary:
    return Summary(Target("train", run_id), outcome, state, 3, 1, list(errors), 4.25)


def event(of: Summary | None = None, reason: str = "deleted") -> RunCancellation:
    about: dict[str, Any] = {
        "reason": reason,
        "cancelled_by": f"cancel.{RUN_ID}",
        "try_number": 1,
        "source": "prod",
        "now": NOW,
    }
    return event_of(of or summary(), mode=CancellationMode.GRACEFUL, **about)


def test_the_event_has_the_run_and_the_result() -> None:
    assert event() == RunCancellation(
        timestamp=NOW,
        source="prod",
        dag_id="train",
        run_id=RUN_ID,
        outcome=CancellationOutcome.CANCELLED,
        state="failed",
        mode=CancellationMode.GRACEFUL,
        reason="deleted",
        failed_task_instances=3,
        rounds=1,
        duration=4.25,
        cancelled_by=f"cancel.{RUN_ID}",
        mljob=MLJobRef(namespace="team-a", name="churn"),
    )
    assert event(summary(run_id="manual__1")).mljob is None
    assert len(event(reason="x" * 5000).reason) == 1000


def test_the_message_has_the_key_of_its_run() -> None:
    message = message_from_cancellation(event(), event_id="1")
    assert message.key == f"train/{RUN_ID}".encode()
    assert dict(message.headers) | {} == {
        "ce_specversion": b"1.0",
        "ce_id": b"1",
        "ce_source": b"prod",
        "ce_type": b"dev.mljob.dag_run.cancellation",
        "ce_time": b"2026-05-04T12:00:00+00:00",
        "ce_subject": f"train/{RUN_ID}".encode(),
        "content-type": b"application/json",
    }
    assert json.loads(message.value)["outcome"] == "cancelled"


@pytest.mark.parametrize(
    ("outcome", "state", "told"),
    [
        pytest.param("cancelled", "failed", "failed", id="it has ended the run"),
        pytest.param("cancelled", "success", "success", id="the run was faster"),
        pytest.param("cancelled", None, None, id="somebody has deleted the run"),
        pytest.param("already_over", "success", None, id="when it ended is not known"),
        pytest.param("not_found", None, None, id="there is no run"),
        pytest.param("not_over", "running", None, id="it goes on"),
    ],
)
def test_the_operator_reads_the_end_of_a_run_from_the_event(outcome: str, state: str | None, told: str | None) -> None:
    message = message_from_cancellation(event(summary(CancellationOutcome(outcome), state)), event_id="1")
    envelope = read(message.value, NOW)
    assert (envelope.dag_id, envelope.run_id, envelope.source) == ("train", RUN_ID, "prod")
    if told is None:
        assert envelope.fact is None
    else:
        assert isinstance(envelope.fact, RunFact)
        assert (envelope.fact.state, envelope.fact.occurred_at) == (told, NOW)


class FakeRuns:
    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        if dag_id == "away":
            raise ConnectionError("could not get run run: 503")
        return {"over": "success"}.get(dag_id)

    def conf(self, dag_id: str, dag_run_id: str) -> Mapping[str, Any]:
        return Marker(RUN_ID, 1).as_conf() if dag_run_id.startswith("backfill__") else {}

    def tasks(self, dag_id: str) -> Sequence[Task]:
        return [Task("fit")]

    def task_instances(self, dag_id: str, dag_run_id: str) -> Sequence[TaskInstance]:
        return [TaskInstance("fit", -1, "success")]

    def unfinished_task_instances(self, dag_id: str, dag_run_id: str) -> Sequence[TaskInstance]:
        return []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[RunCancellation]:
    sent: list[RunCancellation] = []
    monkeypatch.setattr(producer, "_state", None)
    monkeypatch.setattr(producer, "send", sent.append)
    monkeypatch.setattr(producer, "flush", lambda timeout: None)
    monkeypatch.setattr(settings, "source", lambda: "prod")
    monkeypatch.setattr(cancellation_task, "_connect", FakeRuns)
    return sent


def run_task(**params: Any) -> dict[str, Any]:
    ti = SimpleNamespace(run_id="manual__1", try_number=2)
    return cancellation_task.cancel({"params": {**DEFAULTS, **params}, "ti": ti})


def test_the_results_are_returned_in_the_order_of_the_params_and_sent_as_events(sent: list[RunCancellation]) -> None:
    returned = run_task(targets=[target("over"), target("gone")], mode="immediate", reason="why")
    assert (returned["mode"], returned["reason"]) == ("immediate", "why")
    assert [(row["dag_id"], row["outcome"]) for row in returned["targets"]] == [
        ("over", "already_over"),
        ("gone", "not_found"),
    ]
    assert {(event.dag_id, event.outcome.value) for event in sent} == {("over", "already_over"), ("gone", "not_found")}
    assert {(event.mode.value, event.reason, event.cancelled_by, event.try_number) for event in sent} == {
        ("immediate", "why", "manual__1", 2)
    }


def test_the_event_of_a_backfills_run_names_the_mljob(sent: list[RunCancellation]) -> None:
    run_task(targets=[{"dag_id": "over", "dag_run_id": "backfill__2026-01-01"}, target("over")])
    assert {event.run_id: event.mljob for event in sent} == {
        "backfill__2026-01-01": MLJobRef(namespace="team-a", name="churn"),
        "run": None,
    }


def test_a_run_that_is_not_over_fails_the_task_after_all_runs_were_tried(sent: list[RunCancellation]) -> None:
    with pytest.raises(CancellationError, match="1 of 3 run\\(s\\) are not over: away/run: could not get run run: 503"):
        run_task(targets=[target("away"), target("over"), target("gone")])
    assert {event.outcome.value for event in sent} == {"not_over", "already_over", "not_found"}


def test_each_run_that_is_not_over_is_named() -> None:
    left = [
        summary(CancellationOutcome.NOT_OVER, errors=["refused", "still running"]),
        summary(run_id="b", state="queued"),
    ]
    assert not_over(left, 5) == f"2 of 5 run(s) are not over: train/{RUN_ID}: still running; train/b: queued"


def test_runs_are_cancelled_while_kafka_is_unreachable(
    sent: list[RunCancellation], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(event: RunCancellation) -> None:
        raise OSError("no such connection: kafka_default")

    monkeypatch.setattr(producer, "send", unreachable)
    assert run_task(**target("over"))["targets"][0]["outcome"] == "already_over"
    assert ["no such connection: kafka_default" in record.getMessage() for record in caplog.records].count(True) == 1
