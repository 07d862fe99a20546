from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from mljob_airflow import publish_outputs, report
from mljob_airflow.events.throttle import MAX_METRICS, Throttle
from mljob_airflow.tasks import omissions
from mljob_airflow.tasks.progress import clean_metrics, clean_progress
from mljob_contract.events import EventName, TaskEvent


def progress(
    share: float | None = None,
    metrics: dict[str, float] | None = None,
    *,
    task_id: str = "fit",
    name: EventName = EventName.TASK_PROGRESS,
) -> TaskEvent:
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


@pytest.fixture(autouse=True)
def nothing_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omissions, "_warned", set())


class Scalar:
    """A scalar with a method ``item``, as in NumPy and PyTorch."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        if isinstance(self.value, list):
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.value


@pytest.mark.parametrize(
    ("given", "kept"), [(0.5, 0.5), (1, 1.0), (0, 0.0), (1 + 1e-9, 1.0), (-1e-9, 0.0), (Scalar(0.5), 0.5), (None, None)]
)
def test_progress_is_a_fraction(given: object, kept: float | None, caplog: pytest.LogCaptureFixture) -> None:
    assert clean_progress(given) == kept
    assert caplog.records == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (50, "progress 50 is left out: progress is a fraction from 0 to 1, and half of the work is 0.5"),
        (1.01, "progress 1.01 is left out"),
        (-0.1, "progress -0.1 is left out"),
        (math.nan, "progress nan is left out: JSON has no nan"),
        (math.inf, "JSON has no inf"),
        ("half", "progress 'half' is left out: str is not a number"),
        (Scalar([0.1, 0.2]), "Scalar is not a number"),
        (10**400, "is not a number"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_invalid_progress_is_left_out_and_named(given: object, why: str, caplog: pytest.LogCaptureFixture) -> None:
    assert clean_progress(given) is None
    assert why in caplog.text


def test_a_loop_logs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    for percent in range(2, 100):
        clean_progress(percent)
        clean_metrics({"loss": math.nan})
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_an_invalid_metric_is_left_out_and_the_others_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError("no name")

    given: dict[Any, Any] = {
        "loss": 0.2,
        "name": "x",
        "digits": "3",
        "": 1,
        "nan": math.nan,
        "inf": -math.inf,
        "rows": Scalar(3),
        Rude(): 1,
    }
    given |= {"none": None, "array": Scalar([1, 2]), 5: 1, "half \ud800": 1}
    assert clean_metrics(given) == {"loss": 0.2, "rows": 3.0, "5": 1.0, "half ?": 1.0}
    for text in (
        "metric 'name' is left out: str is not a number",
        "metric 'digits' is left out: str is not a number",
        "metric '' is left out: a metric needs a name",
        "metric 'nan' is left out: JSON has no nan",
        "metric 'inf' is left out: JSON has no -inf",
        "metric 'none' is left out: NoneType is not a number",
        "metric 'array' is left out: tests.Scalar is not a number",
        "is left out: no name",
    ):
        assert text in caplog.text


@pytest.mark.parametrize("given", [[("loss", 0.2)], "loss", 3, Scalar([1, 2])], ids=lambda value: type(value).__name__)
def test_metrics_that_are_not_a_dict_are_left_out_and_named(given: object, caplog: pytest.LogCaptureFixture) -> None:
    assert clean_metrics(given) is None
    assert "report(): metrics is left out:" in caplog.text
    assert "is not a dict of names and numbers" in caplog.text


def test_a_report_without_metrics_has_none(caplog: pytest.LogCaptureFixture) -> None:
    assert clean_metrics({}) is None
    assert clean_metrics(None) is None
    assert caplog.records == []


def test_the_number_of_metrics_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    kept = clean_metrics({f"{number:02}{'x' * 100}": number for number in range(100)})
    assert "is left out: a report has at most 20 metrics" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 250
    assert kept is not None
    assert len(kept) == MAX_METRICS
    assert max(map(len, kept)) == 63


def test_the_first_report_passes_the_throttle() -> None:
    assert Throttle(0.5).offer(progress(0.1), now=100.0) == progress(0.1)


def test_fast_reports_are_merged_into_the_next_report() -> None:
    throttle = Throttle(0.5)
    throttle.offer(progress(0.1, {"epoch": 1}), now=0.0)
    assert throttle.offer(progress(0.2, {"epoch": 2, "loss": 0.4}), now=0.1) is None
    assert throttle.offer(progress(None, {"epoch": 3}), now=0.2) is None
    assert throttle.offer(progress(0.4), now=0.6) == progress(0.4, {"epoch": 3, "loss": 0.4})
    assert throttle.offer(progress(0.5), now=0.7) is None


def test_the_last_report_goes_with_the_end_of_the_task() -> None:
    throttle = Throttle(0.5)
    throttle.offer(progress(0.9), now=0.0)
    throttle.offer(progress(1.0), now=0.1)
    end = progress(name=EventName.TASK_SUCCESS)
    assert throttle.take(end) == progress(1.0)
    assert throttle.take(end) is None


def test_metrics_of_the_last_report_are_kept_when_merged_reports_have_too_many() -> None:
    throttle = Throttle(0.5)
    throttle.offer(progress(0.1), now=100.0)
    throttle.offer(progress(0.2, {"loss": 2.0}), now=100.1)
    throttle.offer(progress(0.3, {f"m{number}": 0.0 for number in range(MAX_METRICS - 1)}), now=100.2)
    merged = throttle.offer(progress(0.4, {"loss": 1.0, "accuracy": 0.5}), now=100.6)
    assert merged is not None
    assert merged.metrics is not None
    assert len(merged.metrics) == MAX_METRICS
    assert (merged.metrics["loss"], merged.metrics["accuracy"]) == (1.0, 0.5)


def test_the_throttle_is_per_task_instance() -> None:
    throttle = Throttle(0.5)
    throttle.offer(progress(0.1), now=0.0)
    assert throttle.offer(progress(0.1, task_id="evaluate"), now=0.0) is not None


def test_outside_of_a_task_reports_and_outputs_log_a_debug_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="mljob_airflow"):
        report(progress=0.5, metrics={"epoch": 1})
        publish_outputs(model_path="here")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[TaskEvent]:
    """The events that ``report`` sends in the running task ``fit``."""
    ti = SimpleNamespace(dag_id="train", run_id="run", task_id="fit", map_index=-1, try_number=1)
    events: list[TaskEvent] = []
    monkeypatch.setattr("mljob_airflow.tasks.progress._current_context", lambda: {"ti": ti})
    monkeypatch.setattr("mljob_airflow.events.throttle.reports", Throttle(0.0))
    monkeypatch.setattr("mljob_airflow.events.producer.send", events.append)
    monkeypatch.setattr("mljob_airflow.settings.source", lambda: "test")
    return events


def test_a_report_is_sent_without_its_invalid_values(sent: list[TaskEvent]) -> None:
    report(progress=50, metrics={"loss": 0.2, "name": "x"})  # type: ignore[dict-item]
    report(progress=0.5, metrics=Scalar([1, 2]))  # type: ignore[arg-type]
    assert [(event.progress, event.metrics) for event in sent] == [(None, {"loss": 0.2}), (0.5, None)]
    for event in sent:
        assert TaskEvent.model_validate_json(event.model_dump_json()) == event, "and the operator reads it"


def test_an_empty_report_is_not_sent(sent: list[TaskEvent]) -> None:
    report(progress=50)
    assert sent == []
