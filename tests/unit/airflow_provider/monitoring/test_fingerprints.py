from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.findings.fingerprints import (
    MAX_TEXT,
    STOPPED,
    ErrorText,
    last_error,
    normalised,
    shortened,
)


def same(one: str, other: str) -> bool:
    return ErrorText("ValueError", one).fingerprint == ErrorText("ValueError", other).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 of 3,000 is bad", "row 2 of 12 is bad"),
        ("no file /tmp/tmpab12cd/data.csv", "no file /tmp/tmpzz99xx/data.csv"),
        ("<Table object at 0x7f3a91bc>", "<Table object at 0x7f0011aa>"),
        ("job 0b5e1c2a-93b1-4a53-9d53-0d3f2f6f8a11 is gone", "job 7c0ffee0-93b1-4a53-9d53-0d3f2f6f8a11 is gone"),
        ("late: 2026-05-04T10:00:01.123+00:00", "late: 2026-05-05 11:30:00Z"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit 1a410efbd13591db07496601ebc7a059dd55cfe9"),
        ("run mljob.team-a.churn.k3f2x2m4qz-1 failed", "run mljob.team-b.other.abcdefg234-7 failed"),
        ("timed out\n  after 3 s", "timed out after 4.5 s"),
    ],
    ids=["numbers", "temporary-file", "address", "uuid", "date", "hash", "run-id", "white-space"],
)
def test_parts_that_change_from_run_to_run_are_ignored(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("no column age", "no column name"), ("connection refused", "connection reset")],
)
def test_errors_with_other_words_differ(one: str, other: str) -> None:
    assert not same(one, other)


def test_errors_of_other_classes_differ() -> None:
    assert ErrorText("KeyError", "x").fingerprint != ErrorText("ValueError", "x").fingerprint


@given(st.text())
def test_normalising_is_bounded_and_idempotent(text: str) -> None:
    once = normalised(text)
    assert len(once) <= MAX_TEXT
    assert len(str(ErrorText("ValueError", text))) <= MAX_TEXT
    assert "\n" not in shortened(text)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_errors_with_other_numbers_are_the_same(one: int, other: int) -> None:
    assert same(f"epoch {one}: loss is {one / 7}", f"epoch {other}: loss is {other / 7}")


def test_the_error_of_a_log_is_the_raised_exception_and_not_its_cause() -> None:
    lines: list[dict[str, Any]] = [
        {"event": "starting", "level": "info"},
        {"event": "a complaint", "level": "error"},
        {
            "event": "Task failed with exception",
            "level": "error",
            "error_detail": [
                {"exc_type": "RuntimeError", "exc_value": "no model", "is_cause": False},
                {"exc_type": "KeyError", "exc_value": "'model'", "is_cause": True},
            ],
        },
        {"event": "done", "level": "info"},
    ]
    assert last_error(lines) == ErrorText("RuntimeError", "no model")


def test_without_an_exception_the_last_error_line_is_the_error() -> None:
    lines = [{"event": "one", "level": "error"}, {"event": "Process terminated by signal", "level": "critical"}]
    assert last_error(lines) == ErrorText("", "Process terminated by signal")


def test_a_task_that_airflow_stopped_has_no_error_of_its_own() -> None:
    # As Airflow 3.1 and 3.3 log it when a task or its run is set to failed.
    stopping = {
        "event": "Server indicated the task shouldn't be running anymore. Terminating process",
        "level": "error",
        "detail": {"detail": {"reason": "not_running", "current_state": "failed"}},
    }
    killed = {"event": "Task killed!", "level": "error"}
    caught = {"event": "no connection", "error_detail": [{"exc_type": "OSError", "exc_value": ""}], "level": "error"}
    assert last_error([stopping, killed]) == STOPPED
    assert last_error([caught, stopping, killed]) == STOPPED


def test_an_exception_in_plain_text_is_found() -> None:
    assert last_error(
        ["Traceback (most recent call last):", "  File x", "airflow.exceptions.AirflowFailException: no rows"]
    ) == ErrorText("AirflowFailException", "no rows")


def test_a_log_without_errors_has_none() -> None:
    assert last_error([{"event": "all well", "level": "info"}, "done", {"error_detail": []}]) is None
