from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob.view.pages.summary import TREND, JobSummary, summary_of
from tests.unit.client.statuses import refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def job(status: Any = None, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    named = {"name": "train", "namespace": "team-a", "uid": "u", "resourceVersion": "1", **metadata}
    return {"metadata": named, "spec": {"dagId": "train", **(spec or {})}, "status": status or {}}


def reporting(**metrics: Any) -> dict[str, Any]:
    return job({"phase": "Running", "tasks": [{"taskId": "fit", "state": "running", "metrics": metrics}]})


def test_summary_has_what_a_row_shows() -> None:
    found = summary_of(
        job(
            {
                "phase": "Failed",
                "message": "Task fit failed",
                "progress": "2/5",
                "percent": 40,
                "currentTask": "fit",
                "startTime": "2026-01-01T00:00:00Z",
                "completionTime": "2026-01-01T00:01:00Z",
                "tasks": [{"taskId": "fit", "state": "failed", "error": {"type": "ValueError", "message": "no data"}}],
            },
            {"type": "Training"},
        )
    )

    assert (found.key, found.type, found.phase, found.done, found.total) == ("team-a/train", "Training", "Failed", 2, 5)
    assert found.error == "ValueError: no data"
    assert found.needs_words
    assert found.ended_at is not None


def test_running_job_that_is_all_right_has_no_second_line() -> None:
    assert not summary_of(job({"phase": "Running", "message": "Task fit is running."})).needs_words


def test_end_of_an_earlier_attempt_is_not_the_end() -> None:
    found = summary_of(job({"phase": "Running", "completionTime": "2026-01-01T00:01:00Z"}))

    assert found.ended_at is None


def test_metrics_that_count_come_after_those_that_tell() -> None:
    assert [name for name, _ in summary_of(reporting(epoch=3, loss=0.5, accuracy=0.9)).metrics] == [
        "loss",
        "accuracy",
        "epoch",
    ]


def test_trend_has_the_last_values_of_the_first_metric() -> None:
    found: JobSummary | None = None
    for value in range(TREND + 10):
        found = summary_of(reporting(loss=float(value)), found)
        found = summary_of(reporting(loss=float(value)), found)  # the same values again are no news

    assert found is not None
    assert found.trend == tuple(float(value) for value in range(10, TREND + 10))


def test_trend_of_another_metric_begins_again() -> None:
    before = summary_of(reporting(loss=1.0))

    assert summary_of(reporting(accuracy=0.5), before).trend == (0.5,)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "1", None, []])
def test_metric_that_is_no_number_is_left_out(value: Any) -> None:
    assert summary_of(reporting(loss=value)).metrics == ()


def test_texts_are_bounded() -> None:
    found = summary_of(job({"phase": "Failed", "message": "x" * 100_000, "reason": "R" * 1000}, {"dagId": "d" * 1000}))

    assert len(found.searched) < 1_000
    assert len(found.message) == 300


@given(JSON, JSON, JSON)
def test_any_object_has_a_summary(metadata: Any, spec: Any, status: Any) -> None:
    found = summary_of({"metadata": metadata, "spec": spec, "status": status})

    assert summary_of({"metadata": metadata, "spec": spec, "status": status}, found).phase == found.phase


def test_refused_change_of_the_spec_is_explained() -> None:
    found = summary_of(job(refused()))

    assert found.needs_words
    assert found.message == "The run succeeded. conf changed after the run was submitted."
