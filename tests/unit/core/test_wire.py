"""Messages of either producer, and of neither."""

from __future__ import annotations

import json

import pytest

from mljob_operator.core.facts import RunFact, TaskFact
from mljob_operator.core.phases import RunState, TaskState
from mljob_operator.core.wire import Unreadable, read
from tests.strategies import EPOCH

RUN = {"dag_id": "train", "run_id": "mljob.a.b.aaaaaaaaaa-1", "timestamp": "2026-01-01T00:00:05+00:00"}
OURS = {**RUN, "mljob_version": 1, "task_id": "fit", "try_number": 2, "max_tries": 2}
OFFICIAL = {**RUN, "schema_version": 1, "source": "prod", "task_id": "fit", "try_number": 2, "map_index": 3}


def fact_of(message: dict) -> TaskFact | RunFact | None:
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


def test_a_report_carries_progress_and_metrics_of_its_try() -> None:
    fact = fact_of({**OURS, "event": "task_instance.progress", "progress": 0.4, "metrics": {"loss": 0.1}})
    assert isinstance(fact, TaskFact)
    assert fact.progress is not None
    assert fact.metrics is not None
    assert (fact.progress.try_number, fact.progress.progress, fact.metrics.metrics) == (2, 0.4, {"loss": 0.1})


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
        (None, "not_json", "JSON"),
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
    ids=["empty", "none", "not text", "a list", "neither", "version", "event", "try", "naive time"],
)
def test_what_cannot_be_read_says_why(value: bytes | None, kind: str, says: str) -> None:
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
def test_why_it_cannot_be_read_quotes_no_value(broken: dict) -> None:
    """It goes into the log and into a header of the dead-letter topic."""
    with pytest.raises(Unreadable) as caught:
        fact_of({**OURS, "event": "task_instance.failed", **broken})
    assert "hunter2" not in str(caught.value)
