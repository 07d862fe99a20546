"""Progress reports: what is kept of them, and how many are sent."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime

import pytest

from mljob_airflow import publish_outputs, report
from mljob_airflow.progress import MAX_METRICS, Throttle, clean_metrics, clean_progress
from mljob_contract.events import EventName, TaskEvent


def progress(share=None, metrics=None, *, task_id="fit", name=EventName.TASK_PROGRESS):
    return TaskEvent(
        event=name,
        timestamp=datetime(2026, 5, 4, tzinfo=UTC),
        dag_id="train",
        run_id="run",
        task_id=task_id,
        try_number=1,
        progress=share,
        metrics=metrics,
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0.5, 0.5), (1, 1.0), (-0.1, 0.0), (1.01, 1.0), (math.nan, None), (math.inf, None), (None, None)],
)
def test_progress_is_a_share(given, kept):
    assert clean_progress(given) == kept


def test_metrics_that_json_cannot_say_are_left_out():
    assert clean_metrics({"epoch": 3, "loss": math.nan, "gain": math.inf}) == {"epoch": 3.0}
    assert clean_metrics({"loss": math.nan}) is None
    assert clean_metrics({}) is None


def test_metrics_are_bounded():
    kept = clean_metrics({f"{number:02}{'x' * 100}": number for number in range(100)})
    assert kept is not None
    assert len(kept) == MAX_METRICS
    assert max(map(len, kept)) == 63


def test_the_first_report_is_sent_at_once():
    assert Throttle(0.5).offer(progress(0.1), now=100.0) == progress(0.1)


def test_reports_in_quick_succession_are_merged_into_the_next_one_sent():
    throttle = Throttle(0.5)
    throttle.offer(progress(0.1, {"epoch": 1}), now=0.0)
    assert throttle.offer(progress(0.2, {"epoch": 2, "loss": 0.4}), now=0.1) is None
    assert throttle.offer(progress(None, {"epoch": 3}), now=0.2) is None
    assert throttle.offer(progress(0.4), now=0.6) == progress(0.4, {"epoch": 3, "loss": 0.4})
    assert throttle.offer(progress(0.5), now=0.7) is None


def test_the_last_report_goes_with_the_end_of_the_task():
    throttle = Throttle(0.5)
    throttle.offer(progress(0.9), now=0.0)
    throttle.offer(progress(1.0), now=0.1)
    end = progress(name=EventName.TASK_SUCCESS)
    assert throttle.take(end) == progress(1.0)
    assert throttle.take(end) is None


def test_tasks_do_not_wait_for_each_other():
    throttle = Throttle(0.5)
    throttle.offer(progress(0.1), now=0.0)
    assert throttle.offer(progress(0.1, task_id="evaluate"), now=0.0) is not None


def test_outside_of_a_task_nothing_happens_but_a_debug_line(caplog):
    with caplog.at_level(logging.DEBUG, logger="mljob_airflow"):
        report(progress=0.5, metrics={"epoch": 1})
        publish_outputs(model_path="here")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]


def test_an_output_has_to_be_json():
    with pytest.raises(TypeError, match="JSON value"):
        publish_outputs(model=object())
    with pytest.raises(ValueError, match="JSON"):
        publish_outputs(loss=math.nan)
