"""Curves of metrics: which points are drawn, and that any number gives a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob.view.pages import job_page
from mljob.view.pages.curves import HEIGHT, MAX_CURVES, MAX_POINTS, WIDTH, Series, curve, series_of, sparkline
from mljob_contract.history import MetricsReport
from mljob_contract.mljob import StatusSource

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def report(seconds: float, **metrics: float) -> MetricsReport:
    at = BEGIN + timedelta(seconds=seconds)
    return MetricsReport(time=at, source=StatusSource.KAFKA, task_id="fit", try_number=1, metrics=metrics)


def coordinates(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[0-9.e+-]+),(-?[0-9.e+-]+)", path)]


def test_epochs_are_the_axis_where_they_are_reported() -> None:
    found = series_of([report(0, epoch=1, loss=2.0), report(9, epoch=2, loss=1.0)], "fit")

    assert list(found) == [("loss", "epoch")]
    assert found["loss", "epoch"].points == ((1, 2.0), (2, 1.0))


def test_seconds_are_the_axis_otherwise() -> None:
    found = series_of([report(5, loss=2.0), report(14, loss=1.0)], "fit")

    assert found["loss", "seconds"].points == ((0.0, 2.0), (9.0, 1.0))


def test_second_try_replaces_the_points_of_the_first() -> None:
    found = series_of([report(0, epoch=1, loss=2.0), report(60, epoch=1, loss=1.5)], "fit")

    assert found["loss", "epoch"].points == ((1, 1.5),)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30))
def test_any_finite_points_stay_in_the_picture(points: list[tuple[float, float]]) -> None:
    found = curve("loss", "epoch", [Series("a", tuple(sorted(dict(points).items())))])

    assert found is not None
    for x, y in coordinates(found.lines[0].path):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert 2 <= len(found.y_ticks) <= 13


def test_ticks_are_round_numbers() -> None:
    found = curve("loss", "epoch", [Series("a", ((1, 0.183), (20, 1.37)))])

    assert found is not None
    assert [text for _, text in found.y_ticks] == ["0", "0.5", "1", "1.5"]
    assert [text for _, text in found.x_ticks] == ["5", "10", "15", "20"]


def test_long_series_keeps_its_peaks() -> None:
    points = tuple((float(x), 1000.0 if x == 54_321 else float(x % 7)) for x in range(100_000))

    found = curve("loss", "step", [Series("a", points)])

    assert found is not None
    drawn = coordinates(found.lines[0].path)
    assert len(drawn) <= MAX_POINTS
    assert min(y for _, y in drawn) == min(y for y, _ in found.y_ticks), "the peak touches the highest tick"
    assert "the highest 1000" in found.lines[0].words


def test_curves_of_several_jobs_share_the_axes() -> None:
    found = curve("loss", "epoch", [Series("a", ((1, 1.0),)), Series("b", ((1, 9.0),)), Series("c", ())])

    assert found is not None
    assert [line.label for line in found.lines] == ["a", "b"]
    assert found.lines[0].end[1] > found.lines[1].end[1], "the y axis of SVG goes down"


def test_nothing_to_draw_is_no_curve() -> None:
    assert curve("loss", "epoch", []) is None
    assert sparkline([1.0]) == ""


@given(st.lists(NUMBERS, min_size=2, max_size=24))
def test_sparkline_stays_in_its_place(values: list[float]) -> None:
    for x, y in coordinates(sparkline(values)):
        assert 0 <= x <= 60
        assert 0 <= y <= 16


def test_no_more_curves_are_made_than_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(reports: Iterable[MetricsReport], label: str) -> dict[tuple[str, str], Series]:
        made.append(label)
        return series_of(reports, label)

    monkeypatch.setattr(job_page, "series_of", counted)
    reports = [report(0, loss=1.0).model_copy(update={"task_id": f"t{number}"}) for number in range(2_000)]

    assert len(job_page._curves(reports)) == MAX_CURVES
    assert len(made) <= MAX_CURVES + 1
