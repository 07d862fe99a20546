from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob.compare import MAX_COLUMNS
from mljob.resource import MLJob
from mljob.view.pages import compare_page, job_page
from mljob.view.pages.curves import (
    HEIGHT,
    MAX_CURVES,
    MAX_LINES,
    MAX_POINTS,
    WIDTH,
    Series,
    curve,
    series_of,
    sparkline,
)
from mljob.view.rendering import Renderer
from mljob_contract.history import MetricsReport
from mljob_contract.mljob import StatusSource

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def report(
    seconds: float, map_index: int = -1, task: str = "fit", try_number: int = 1, **metrics: float
) -> MetricsReport:
    at = BEGIN + timedelta(seconds=seconds)
    about = {"task_id": task, "map_index": map_index, "try_number": try_number}
    return MetricsReport(time=at, source=StatusSource.KAFKA, **about, metrics=metrics)


def coordinates(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[0-9.e+-]+),(-?[0-9.e+-]+)", path)]


def test_epochs_are_the_axis_where_they_are_reported() -> None:
    found = series_of([report(0, epoch=1, loss=2.0), report(9, epoch=2, loss=1.0)], "fit")

    assert list(found) == [("loss", "epoch")]
    assert found["loss", "epoch"].points == ((1, 2.0), (2, 1.0))


def test_seconds_are_the_axis_otherwise() -> None:
    found = series_of([report(5, loss=2.0), report(14, loss=1.0)], "fit")

    assert found["loss", "seconds"].points == ((0.0, 2.0), (9.0, 1.0))


def test_later_value_replaces_an_earlier_one() -> None:
    found = series_of([report(0, epoch=1, loss=2.0), report(60, epoch=1, loss=1.5)], "fit")

    assert found["loss", "epoch"].points == ((1, 1.5),)


def test_try_that_begins_again_replaces_the_earlier_one() -> None:
    first = [report(epoch, epoch=epoch, loss=1 / epoch, val_loss=2 / epoch) for epoch in range(1, 11)]
    second = [report(100 + epoch, try_number=2, epoch=epoch, loss=5 / epoch) for epoch in range(1, 4)]

    found = series_of([*first, *second, report(200, epoch=11, loss=0.0)], "fit")

    assert {key: one.points for key, one in found.items()} == {("loss", "epoch"): ((1, 5.0), (2, 2.5), (3, 5 / 3))}


def test_try_that_continues_from_a_checkpoint_keeps_the_points_before_it() -> None:
    first = [report(epoch, epoch=epoch, loss=10.0 + epoch) for epoch in range(1, 6)]

    found = series_of([*first, report(100, try_number=2, epoch=4, loss=1.0)], "fit")

    assert found["loss", "epoch"].points == ((1, 11.0), (2, 12.0), (3, 13.0), (4, 1.0))


def test_seconds_are_counted_from_the_begin_of_the_try() -> None:
    found = series_of([report(0, loss=3.0), report(9, loss=2.0), report(60, try_number=2, loss=1.0)], "fit")

    assert found["loss", "seconds"].points == ((0.0, 1.0),)


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


def test_instances_of_a_mapped_task_are_lines_of_their_own() -> None:
    reports = [report(n, map_index=n % 3, epoch=n // 3, loss=n) for n in range(9)]

    (found,) = job_page._curves([report(0, task="load", rows=3), *reports])[1:]

    assert [line.label for line in found.lines] == ["fit[0]", "fit[1]", "fit[2]"]
    assert [line.last for line in found.lines] == ["6", "7", "8"]


def test_picture_of_many_instances_says_how_many_are_left_out() -> None:
    reports = [report(0, map_index=index, loss=1.0) for index in range(40)]

    (found,) = job_page._curves(reports)
    html = Renderer().render("curve.html", curve=found, colours={})

    assert (len(found.lines), found.omitted) == (MAX_LINES, 40 - MAX_LINES)
    assert "32 more instances are not drawn." in html
    assert html.count("<li>") == MAX_LINES


def test_compared_jobs_of_one_name_are_told_apart_by_their_namespaces() -> None:
    jobs = [MLJob({"metadata": {"name": name, "namespace": place}}) for place, name in ("ax", "bx", "ay")]
    reports = {key: [report(0, loss=1.0)] for key in ("a/x", "b/x", "a/y")}

    page = compare_page.compare_page(jobs, reports)

    assert page.colours == {"a/x": 0, "b/x": 1, "y": 2}
    assert [line.job for curve in page.curves for line in curve.lines] == ["a/x", "b/x", "y"]
    html = Renderer().render("compare/curves.html", page=page, colours=page.colours)
    assert ("</svg> a/x</li>" in html, "</svg> b/x</li>" in html, "</svg> y</li>" in html) == (True, True, True)


def test_differing_params_that_are_left_out_are_not_shown_as_equal() -> None:
    def job(name: str, value: int) -> MLJob:
        conf = {f"p{number}": value for number in range(MAX_COLUMNS + 10)} | {"same": 1}
        return MLJob({"metadata": {"name": name, "namespace": "a"}, "spec": {"dagId": "d", "conf": conf}})

    page = compare_page.compare_page([job("x", 1), job("y", 2)], {})

    assert len(page.params) == MAX_COLUMNS
    assert [value.name for value in page.equal] == ["same"]


def test_compared_jobs_keep_their_colours_and_share_the_lines() -> None:
    columns = [compare_page._column(MLJob({"metadata": {"name": name, "namespace": "a"}})) for name in ("x", "y")]
    mapped = [report(0, map_index=index, loss=1.0) for index in range(9)]

    (found,) = compare_page._curves(columns, {"a/x": [report(0, loss=2.0)], "a/y": mapped})

    assert [(line.label, line.job) for line in found.lines] == [
        ("x", "x"),
        *((f"y fit[{index}]", "y") for index in range(4)),
    ]
    assert found.omitted == 5
