from __future__ import annotations

import json
from typing import Any

import pytest

from mljob_contract.events import MAX_MESSAGE_BYTES
from mljob_operator.core.run.events import Unreadable, read
from mljob_operator.core.run.facts import RunFact, TaskFact
from mljob_operator.core.run.states import RunState, TaskState
from tests.strategies import EPOCH

RUN = {"dag_id": "train", "run_id": "mljob.a.b.aaaaaaaaaa-1", "timestamp": "2026-01-01T00:00:05+00:00"}
OURS = {**RUN, "mljob_version": 1, "task_id": "fit", "try_number": 2, "max_tries": 2}
OFFICIAL = {**RUN, "schema_version": 1, "source": "prod", "task_id": "fit", "try_number": 2, "map_index": 3}


def fact_of(message: dict[str, Any]) -> TaskFact | RunFact | None:
    return read(json.dumps(message).encode(), EPOCH).fact


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("running", TaskState.RUNNING),
        ("success", TaskState.SUCCESS),
        ("failed", TaskState.FAILED),
        ("skipped", TaskState.SKIPPED),
        ("up_for_retry", TaskState.UP_FOR_RETRY),
        ("progress", TaskState.RUNNING),
    ],
)
def test_our_events_are_read(word: str, state: TaskState) -> None:
    fact = fact_of({**OURS, "event": f"task_instance.{word}"})
    assert isinstance(fact, TaskFact)
    assert (fact.key, fact.try_number, fact.state, fact.certain) == (("fit", -1), 2, state, True)


def test_a_progress_event_has_progress_and_metrics_of_its_try() -> None:
    fact = fact_of({**OURS, "event": "task_instance.progress", "progress": 0.4, "metrics": {"loss": 0.1}})
    assert isinstance(fact, TaskFact)
    progress, metrics = fact.details.progress, fact.details.metrics
    assert progress is not None
    assert metrics is not None
    assert (progress.try_number, progress.progress, metrics.metrics) == (2, 0.4, {"loss": 0.1})


@pytest.mark.parametrize("word", ["running", "success", "failed", "skipped"])
def test_official_task_events_are_read(word: str) -> None:
    fact = fact_of({**OFFICIAL, "event": f"task_instance.{word}"})
    assert isinstance(fact, TaskFact)
    assert (fact.key, fact.state) == (("fit", 3), word)
    assert fact.certain is (word != "failed"), "a failure may be followed by a retry; this format can't tell"


@pytest.mark.parametrize("word", ["running", "success", "failed"])
def test_official_run_events_are_read(word: str) -> None:
    fact = fact_of({**RUN, "schema_version": 1, "event": f"dag_run.{word}"})
    assert isinstance(fact, RunFact)
    assert fact.state == RunState(word)


def test_an_event_that_a_later_airflow_adds_changes_nothing() -> None:
    assert fact_of({**OFFICIAL, "event": "task_instance.rescheduled"}) is None


def test_a_field_that_a_later_producer_adds_is_ignored() -> None:
    assert fact_of({**OURS, "event": "task_instance.running", "colour": "blue"}) is not None


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (b"", "not_json", "JSON"),
        (b"\xff\xfe", "not_json", "JSON"),
        (b"[1]", "unknown_format", "list"),
        (b'{"hello": 1}', "unknown_format", "mljob_version"),
        (
            json.dumps({**OURS, "mljob_version": 9, "event": "task_instance.running"}).encode(),
            "invalid",
            "mljob_version",
        ),
        (json.dumps({**OURS, "event": "task_instance.exploded"}).encode(), "invalid", "event"),
        (json.dumps({**OURS, "event": "task_instance.running", "try_number": -1}).encode(), "invalid", "try_number"),
        (
            json.dumps({**OURS, "event": "task_instance.running", "timestamp": "2026-01-01T00:00:00"}).encode(),
            "invalid",
            "time zone",
        ),
    ],
    ids=["empty", "not text", "a list", "neither", "version", "event", "try", "naive time"],
)
def test_an_unreadable_message_has_a_reason(value: bytes, kind: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says) as caught:
        read(value, EPOCH)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "broken",
    [
        {"event": "hunter2"},
        {"try_number": "hunter2"},
        {"timestamp": "hunter2"},
        {"metrics": {"hunter2": "hunter2"}},
        {"error": {"type": "hunter2", "message": ["hunter2"]}},
        {"mljob": {"namespace": {"hunter2": 1}}},
        {"mljob_version": "hunter2"},
        {"task_id": "hunter2" * 100},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_reason_of_an_unreadable_message_quotes_no_value(broken: dict[str, Any]) -> None:
    with pytest.raises(Unreadable) as caught:
        fact_of({**OURS, "event": "task_instance.failed", **broken})
    assert "hunter2" not in str(caught.value)


LONG_AGO = "1999-12-31T23:59:59+00:00"
OUT_OF_BOUNDS: list[tuple[str, dict[str, object], str]] = [
    ("a try that no database holds", {"try_number": 2**70}, "try_number"),
    ("a try that no int32 holds", {"try_number": 2**31}, "try_number"),
    ("a try that is true", {"try_number": True}, "try_number"),
    ("a try that is a text", {"try_number": "2"}, "try_number"),
    ("a map index below none", {"map_index": -2}, "map_index"),
    ("a map index out of range", {"map_index": 2**31}, "map_index"),
    ("the year 9999", {"timestamp": "9999-12-31T23:59:59+00:00"}, "timestamp"),
    ("the year 9999 in an offset that leaves the calendar", {"timestamp": "9999-12-31T23:59:59-14:00"}, "timestamp"),
    ("the year 1 in an offset that leaves the calendar", {"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
    ("a time before Airflow", {"timestamp": LONG_AGO}, "timestamp"),
    ("the day after tomorrow", {"timestamp": "2026-01-03T00:00:01+00:00"}, "timestamp"),
    ("a time without a zone", {"timestamp": "2026-01-01T00:00:00"}, "timestamp"),
    ("a time that is infinite", {"timestamp": float("inf")}, "timestamp"),
    ("a DAG id with a space", {"dag_id": "my dag"}, "dag_id"),
    ("a DAG id that is too long", {"dag_id": "d" * 251}, "dag_id"),
    ("no run id", {"run_id": ""}, "run_id"),
    ("a run id that is too long", {"run_id": "r" * 251}, "run_id"),
    ("a task id with a NUL", {"task_id": "fit\x00"}, "task_id"),
    ("a task id with half a surrogate pair", {"task_id": "fit\ud800"}, "task_id"),
    ("a task id that is too long", {"task_id": "t" * 251}, "task_id"),
    ("a source that is too long", {"source": "s" * 254}, "source"),
]
ONLY_OURS: list[tuple[str, dict[str, object], str]] = [
    ("a start without a zone", {"start_date": "2026-01-01T00:00:00"}, "start_date"),
    ("a start before Airflow", {"start_date": LONG_AGO}, "start_date"),
    ("an end in the year 9999", {"end_date": "9999-12-31T23:59:59Z"}, "end_date"),
    ("more progress than there is", {"progress": 1.5}, "progress"),
    ("progress that is no number", {"progress": float("nan")}, "progress"),
    ("progress that is true", {"progress": True}, "progress"),
    ("more retries than an int32 holds", {"max_tries": 2**31}, "max_tries"),
    ("more metrics than are shown", {"metrics": {f"m{i}": 1.0 for i in range(21)}}, "metrics"),
    ("a metric that is infinite", {"metrics": {"loss": float("inf")}}, "metrics"),
    ("a metric that is a text", {"metrics": {"loss": "0.1"}}, "metrics"),
    ("a metric with a name that is too long", {"metrics": {"m" * 64: 1.0}}, "metrics"),
    ("a metric that is nested", {"metrics": {"loss": {"a": 1}}}, "metrics"),
    ("an error that is a text", {"error": "broken"}, "error"),
]


@pytest.mark.parametrize(
    ("form", "field", "value", "says"),
    [
        pytest.param(form, field, value, says, id=f"{name}: {what}")
        for name, form in (("ours", OURS), ("Airflow's", OFFICIAL))
        for what, change, says in OUT_OF_BOUNDS
        for field, value in change.items()
    ]
    + [
        pytest.param(OURS, field, value, says, id=f"ours: {what}")
        for what, change, says in ONLY_OURS
        for field, value in change.items()
    ],
)
def test_a_field_out_of_bounds_is_unreadable(form: dict[str, Any], field: str, value: object, says: str) -> None:
    event = "task_instance.failed"
    assert read(json.dumps({**form, "event": event}).encode(), EPOCH).fact is not None, "readable but for that"
    with pytest.raises(Unreadable, match=says) as caught:
        read(json.dumps({**form, "event": event, field: value}).encode(), EPOCH)
    assert caught.value.kind == "invalid"
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b" " * (MAX_MESSAGE_BYTES + 1), "too_large"),
        (b'{"a": [' + b"[]," * 99_999 + b"[]]}", "too_large"),
        (b'{"mljob_version": 1, "a": [' + b"{}," * 49_998 + b"1]}", "invalid"),
        (b"[" * 100_000, "not_json"),
        (b'{"try_number": ' + b"1" * 100_000 + b"}", "not_json"),
        (b'{"mljob_version": 1e999}', "invalid"),
        ('{"mljob_version": 1}'.encode("utf-16"), "invalid"),
        (json.dumps({"mljob_version": 1, "metrics": {f"m{i}": "x" for i in range(50_000)}}).encode(), "invalid"),
        (json.dumps({**OURS, "event": "task_instance.running", "metrics": {"x" * 900_000: "y"}}).encode(), "invalid"),
    ],
    ids=[
        "large",
        "100,000 values",
        "50,000 values",
        "deep",
        "a number of 100,000 digits",
        "infinite",
        "UTF-16",
        "50,000 metrics",
        "a name of 900 KB",
    ],
)
def test_an_expensive_message_is_unreadable(value: bytes, kind: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(value, EPOCH)
    assert caught.value.kind == kind
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    # Python represents a file name that is not UTF-8 with unpaired surrogates.
    ("form", "error"),
    [(OURS, {"type": "T\udce4" * 99, "message": "e\udce4" * 9999}), (OFFICIAL, "e\udce4" * 9999)],
)
def test_the_text_of_an_error_is_cut_and_made_valid_unicode(form: dict[str, Any], error: object) -> None:
    fact = fact_of({**form, "event": "task_instance.failed", "error": error})
    assert isinstance(fact, TaskFact)
    assert fact.details.failure is not None
    assert len(fact.details.failure.message) <= 1000
    assert fact.details.failure.message.startswith("e?e?")


@pytest.mark.parametrize("task_id", ["fit", "vorbereiten.Bär", "训练", "тест_1", "١٢٣", "a" * 250])
def test_ids_of_every_language_are_read(task_id: str) -> None:
    fact = fact_of({**OFFICIAL, "dag_id": task_id, "event": "task_instance.running", "task_id": task_id})
    assert isinstance(fact, TaskFact)
    assert fact.task_id == task_id


def test_times_are_kept_in_utc() -> None:
    fact = fact_of({**OURS, "event": "task_instance.running", "timestamp": "2026-01-01T02:00:05+02:00"})
    assert fact is not None
    assert fact.occurred_at.isoformat() == "2026-01-01T00:00:05+00:00"


CANCELLATION = {
    **RUN,
    "mljob_version": 1,
    "event": "dag_run.cancellation",
    "source": "prod",
    "outcome": "cancelled",
    "state": "failed",
    "mode": "graceful",
    "reason": "MLJob a/b was deleted",
    "duration": 3.5,
    "cancelled_by": "manual__1",
}


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_cancellation_is_the_end_of_its_run(state: str) -> None:
    envelope = read(json.dumps({**CANCELLATION, "state": state}).encode(), EPOCH)
    assert (envelope.dag_id, envelope.run_id, envelope.source) == (RUN["dag_id"], RUN["run_id"], "prod")
    assert isinstance(envelope.fact, RunFact)
    assert (envelope.fact.state, envelope.fact.occurred_at.second) == (RunState(state), 5)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"outcome": "already_over"}, id="the run had ended before, at an unknown time"),
        pytest.param({"outcome": "not_over", "state": "running"}, id="the run goes on"),
        pytest.param({"outcome": "not_over"}, id="the end of a run that goes on"),
        pytest.param({"outcome": "not_found", "state": None}, id="there is no run"),
        pytest.param({"state": None}, id="no state"),
        pytest.param({"state": "hunter2"}, id="a state that Airflow does not have"),
    ],
)
def test_a_cancellation_that_ended_no_run_changes_nothing(change: dict[str, Any]) -> None:
    assert fact_of({**CANCELLATION, **change}) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"outcome": "exploded"}, "outcome", id="an unknown outcome"),
        pytest.param({"timestamp": LONG_AGO}, "timestamp", id="a time before Airflow"),
        pytest.param({"run_id": ""}, "run_id", id="no run"),
        pytest.param({"mljob_version": 9}, "mljob_version", id="another version"),
    ],
)
def test_a_cancellation_out_of_bounds_is_unreadable(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Unreadable, match=says) as caught:
        fact_of({**CANCELLATION, **change})
    assert caught.value.kind == "invalid"
