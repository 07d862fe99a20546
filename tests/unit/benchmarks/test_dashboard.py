from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from benchmarks.bench_stack import MeasurementError
from benchmarks.dashboard import layout, load, panels, units
from benchmarks.dashboard.evaluation import FilledPanel, Line, evaluate
from benchmarks.dashboard.measurement import DAGS, DASHBOARD, PREFIX, Result
from benchmarks.dashboard.panels import GridPosition, Target
from benchmarks.dashboard.picture import aligned, draw, file_colours, stacked
from benchmarks.dashboard.prometheus import RefusedQueryError, Series, configuration
from benchmarks.dashboard.variables import TimeRange, substitute, values
from benchmarks.simulated_airflow.dags import read_dags

CHART = panels.read(DASHBOARD.read_text())
SHOWN = TimeRange(1000, 1300, 5)
POINTS = 400


def panel(**changes: Any) -> dict[str, Any]:
    target = {"expr": 'sum(a{job=~"$job"})', "legendFormat": "all"}
    position = {"x": 0, "y": 0, "w": 6, "h": 8}
    return {"title": "Jobs", "type": "timeseries", "gridPos": position, "targets": [target]} | changes


def variable(**changes: Any) -> dict[str, Any]:
    return {
        "name": "job",
        "label": "Operator",
        "type": "query",
        "definition": "label_values(a, job)",
        "allValue": ".*",
        "current": {"value": ["$__all"]},
    } | changes


def dashboard(*shown: dict[str, Any], variables: tuple[dict[str, Any], ...] = (variable(),)) -> panels.Dashboard:
    content = {"title": "Test", "templating": {"list": list(variables)}, "panels": list(shown)}
    return panels.read(json.dumps(content))


class Answers:
    """A Prometheus that answers each expression with the same series."""

    def __init__(self, *series: Series, refuses: str = "", labels: tuple[str, ...] = ("mljob-operator",)) -> None:
        self.series = series
        self.asked: list[tuple[str, int]] = []
        self._refuses = refuses
        self._labels = labels

    def query_range(self, expression: str, shown: TimeRange, step: int) -> list[Series]:
        self.asked.append((expression, step))
        if self._refuses:
            raise RefusedQueryError(self._refuses)
        return list(self.series)

    def exemplars(self, expression: str, shown: TimeRange) -> list[tuple[float, float]]:
        return [(1010.0, 0.5)]

    def label_values(self, label: str, selector: str) -> list[str]:
        return list(self._labels)


def filled_panels(shown: panels.Dashboard, source: Answers) -> Sequence[FilledPanel]:
    evaluation = evaluate(shown, source, SHOWN, POINTS)
    assert evaluation.defects == []
    return evaluation.panels


def series(value: float = 1.0, labels: Mapping[str, str] | None = None) -> Series:
    return Series(labels or {}, [(1000.0, value), (1005.0, value)])


# -- Reading ---------------------------------------------------------------------------------------


def test_the_charts_dashboard_can_be_read() -> None:
    content = json.loads(DASHBOARD.read_text())
    assert [each.title for each in CHART.panels] == [each["title"] for each in content["panels"]]
    assert [each.name for each in CHART.variables] == ["job", "namespace", "type", "airflow"]
    assert all(each.targets for each in CHART.panels if each.kind != "row")
    (by_phase,) = [each for each in CHART.panels if each.title == "MLJobs by phase"]
    assert (by_phase.stacked, by_phase.fill, by_phase.position) == (True, 0.25, GridPosition(0, 7, 8, 8))
    (leader,) = [each for each in CHART.panels if each.title == "Leader"]
    assert leader.mappings == {"0": "no", "1": "yes"}
    assert leader.thresholds == [(-math.inf, "red"), (1, "green")]


def test_fixed_colours_are_read() -> None:
    override = {
        "matcher": {"id": "byName", "options": "Failed"},
        "properties": [{"id": "unit", "value": "s"}, {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}],
    }
    other = {"matcher": {"id": "byRegexp", "options": ".*"}, "properties": []}
    fields = {"defaults": {"color": {"mode": "fixed", "fixedColor": "blue"}}, "overrides": [override, other]}
    (read,) = dashboard(panel(fieldConfig=fields)).panels
    assert (read.colour, read.colours) == ("blue", {"Failed": "red"})


def test_an_unknown_kind_of_panel_is_an_error() -> None:
    with pytest.raises(MeasurementError, match="'Jobs': the type table"):
        dashboard(panel(type="table"))


@pytest.mark.parametrize(
    "changes", [{"type": "custom"}, {"definition": "metrics(a)"}, {"current": {"value": ["prod"]}}], ids=str
)
def test_an_unknown_kind_of_variable_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match="variable job: only label_values"):
        dashboard(variables=(variable(**changes),))


@pytest.mark.parametrize(
    ("legend", "expected"),
    [("{{phase}}", "Failed"), ("{{ phase }} of {{type}}", "Failed of Training"), ("p50", "p50"), ("{{airflow}}", "")],
)
def test_a_legend_has_the_values_of_labels(legend: str, expected: str) -> None:
    assert Target("a", legend).name({"phase": "Failed", "type": "Training"}) == expected


# -- Variables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "points", "scrape", "interval", "rate_interval"),
    [
        (300, 400, 5, 5, 20),  # four scrapes
        (300, 400, 15, 15, 60),
        (6 * 3600, 400, 15, 54, 69),  # a point of the graph and a scrape
        (86_400, 400, 30, 216, 246),
    ],
)
def test_intervals_are_those_that_grafana_documents(
    seconds: int, points: int, scrape: int, interval: int, rate_interval: int
) -> None:
    shown = TimeRange(0, seconds, scrape)
    assert (shown.interval(points), shown.rate_interval(points)) == (interval, rate_interval)


def test_variables_are_replaced_in_each_notation() -> None:
    known = values(CHART.variables, SHOWN, POINTS)
    text = 'rate(a{job=~"$job", type=~"${type}", airflow=~"${airflow:regex}"}[$__rate_interval])'
    assert substitute(text, known) == 'rate(a{job=~".*", type=~".*", airflow=~".*"}[20s])'


def test_all_expressions_of_the_chart_have_known_variables() -> None:
    known = values(CHART.variables, SHOWN, POINTS)
    for each in CHART.panels:
        for target in each.targets:
            assert "$" not in substitute(target.expression, known)


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(MeasurementError, match=r"no variable \$pod: up\{pod"):
        substitute('up{pod="$pod"}', {"job": ".*"})


# -- Evaluation ------------------------------------------------------------------------------------


def test_lines_have_the_names_of_the_legend() -> None:
    target = {"expr": 'sum by (phase) (a{job=~"$job"})', "legendFormat": "{{phase}}"}
    source = Answers(series(2.0, {"phase": "Running"}), series(3.0, {"phase": "Queued"}))
    (filled,) = filled_panels(dashboard(panel(targets=[target])), source)
    assert [(line.name, line.last) for line in filled.lines] == [("Running", 2.0), ("Queued", 3.0)]
    assert source.asked == [('sum by (phase) (a{job=~".*"})', 5)]


def test_exemplars_of_several_quantiles_count_once() -> None:
    targets = [{"expr": f"q({share}, a)", "legendFormat": f"p{share}", "exemplar": True} for share in (50, 90)]
    (filled,) = filled_panels(dashboard(panel(targets=targets)), Answers(series()))
    assert filled.exemplars == [(1010.0, 0.5)]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (Answers(), "no data"),
        (Answers(series(math.nan)), "no data"),
        (Answers(refuses="parse error"), "parse error"),
    ],
    ids=["no series", "not a number", "refused"],
)
def test_an_expression_without_data_is_an_error_with_panel_and_expression(source: Answers, problem: str) -> None:
    (defect,) = evaluate(dashboard(panel()), source, SHOWN, POINTS).defects
    assert defect == f"panel 'Jobs': sum(a{{job=~\".*\"}}): {problem}"


def test_a_variable_without_values_is_an_error() -> None:
    found = evaluate(dashboard(panel()), Answers(series(), labels=()), SHOWN, POINTS).defects
    assert found == ["variable job: a has no label job"]


def test_all_defects_are_found() -> None:
    both = dashboard(panel(), panel(title="Events"))
    assert len(evaluate(both, Answers(), SHOWN, POINTS).defects) == 2


@pytest.mark.parametrize(
    ("legend", "labels", "problem"),
    [
        ("{{airflow}}", [{}, {"airflow": "prod"}], "'' is no name in a legend"),
        ("{{airflow}} submit", [{}], "' submit' is no name in a legend"),
        ("{{operation}}", [{"operation": "submit"}, {"operation": "submit"}], "2 series have the name 'submit'"),
    ],
)
def test_a_name_that_does_not_identify_its_line_is_an_error(
    legend: str, labels: list[Mapping[str, str]], problem: str
) -> None:
    shown = dashboard(panel(targets=[{"expr": "a", "legendFormat": legend}]))
    (defect,) = evaluate(shown, Answers(*(series(1.0, each) for each in labels)), SHOWN, POINTS).defects
    assert defect == f"panel 'Jobs': {problem}"


def test_the_only_value_of_a_stat_panel_needs_no_name() -> None:
    single = panel(type="stat", targets=[{"expr": "a", "legendFormat": ""}])
    (filled,) = filled_panels(dashboard(single), Answers(series()))
    assert [line.name for line in filled.lines] == [""]


# -- Units -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "s", "0 s"), (0.0125, "s", "12.5 ms"), (0.00002, "s", "20 µs"), (1.5, "s", "1.5 s"), (90, "s", "1.5 min"),
        (7200, "s", "2 h"), (172_800, "s", "2 d"), (0, "short", "0"), (12, "short", "12"), (1500, "short", "1.5k"),
        (0.25, "short", "0.25"), (0.2, "reqps", "0.2 req/s"), (0, "mps", "0 msg/s"), (2.5, "wps", "2.5 wr/s"),
        (1, "rps", "1 rd/s"), (1e-9, "s", "0.001 µs"),
    ],
)  # fmt: skip
def test_values_have_units(value: float, unit: str, expected: str) -> None:
    assert units.text(value, unit) == expected


@pytest.mark.parametrize(
    ("highest", "unit", "expected"),
    [
        (0.1, "s", 0.02), (4, "s", 1), (50, "s", 10), (330, "s", 120), (6000, "s", 1800), (1e6, "s", 200_000),
        (1, "short", 1), (2.2, "short", 1), (260, "short", 100), (0.7, "rps", 0.2), (1, "rps", 0.2),
    ],
)  # fmt: skip
def test_ticks_are_round_numbers(highest: float, unit: str, expected: float) -> None:
    assert units.tick_distance(highest, unit) == pytest.approx(expected)


def test_units_of_the_chart_are_known() -> None:
    assert all(units.text(1, each.unit) for each in CHART.panels)


# -- Layout ----------------------------------------------------------------------------------------


def test_panels_fill_the_width_and_leave_gaps() -> None:
    boxes = [layout.box(GridPosition(x, 0, 8, 8)) for x in (0, 8, 16)]
    assert boxes[0].left == layout.MARGIN
    assert boxes[-1].right == pytest.approx(layout.WIDTH - layout.MARGIN)
    assert [after.left - before.right for before, after in itertools.pairwise(boxes)] == pytest.approx(
        [layout.GAP, layout.GAP]
    )
    below = layout.box(GridPosition(0, 8, 8, 8))
    assert below.top - boxes[0].bottom == pytest.approx(layout.GAP)


def test_the_picture_ends_below_the_last_panel() -> None:
    positions = [each.position for each in CHART.panels]
    assert layout.height(positions) == max(layout.box(each).bottom for each in positions) + layout.MARGIN


def test_columns_of_a_box_have_the_same_width() -> None:
    left, right = layout.Box(10, 5, 100, 50).columns(2)
    assert (left, right) == (layout.Box(10, 5, 50, 50), layout.Box(60, 5, 50, 50))


@pytest.mark.parametrize(
    ("widths", "expected"),
    [([], []), ([40, 40], [[0, 1]]), ([40, 40, 40], [[0, 1], [2]]), ([200, 10], [[0], [1]])],
)
def test_legends_are_wrapped(widths: list[float], expected: list[list[int]]) -> None:
    assert layout.wrapped(widths, 100) == expected


# -- Picture ---------------------------------------------------------------------------------------


def test_a_line_has_gaps_where_prometheus_has_no_value() -> None:
    shown = aligned(Line("a", [(1000.0, 1.0), (1010.0, 3.0)]), [1000.0, 1005.0, 1010.0])
    assert shown[::2] == [1.0, 3.0]
    assert math.isnan(shown[1])


def test_stacked_lines_have_gaps_only_where_all_lines_have_gaps() -> None:
    nan = math.nan
    lower, upper = stacked([[1.0, nan, nan, 4.0], [1.0, 2.0, nan, nan]])
    assert (lower[:2], lower[3]) == ([1.0, 0.0], 4.0)
    assert (upper[:2], upper[3]) == ([2.0, 2.0], 4.0)
    assert math.isnan(lower[2])
    assert math.isnan(upper[2])


def test_a_png_has_room_for_the_colours() -> None:
    assert len(file_colours()) <= 256


def test_the_picture_has_the_size_of_the_layout(tmp_path: Any) -> None:
    from PIL import Image

    row = panel(type="row", title="Teams", targets=[], gridPos={"x": 0, "y": 0, "w": 24, "h": 1})
    stat = panel(type="stat", title="Running", gridPos={"x": 0, "y": 1, "w": 6, "h": 5})
    graph = panel(gridPos={"x": 6, "y": 1, "w": 6, "h": 8})
    shown = dashboard(row, stat, graph)
    file = tmp_path / "picture.png"
    draw(shown, filled_panels(shown, Answers(series())), SHOWN, file)
    with Image.open(file) as image:
        assert image.size[0] == pytest.approx(1.5 * layout.WIDTH, abs=1)
        assert image.size[1] == pytest.approx(1.5 * layout.height([each.position for each in shown.panels]), abs=1)


# -- MLJobs and Prometheus -------------------------------------------------------------------------


def test_the_same_plan_creates_the_same_mljobs() -> None:
    created = list(load.creations(300))
    assert created == list(load.creations(300))
    assert created != list(load.creations(300, seed=8))
    assert [each.at for each in created] == sorted(each.at for each in created)
    assert created[-1].at < 300


def test_every_team_and_kind_of_mljob_takes_part() -> None:
    created = list(load.creations(300))
    assert {each.namespace for each in created} == load.TEAMS.keys()
    assert {each.kind.name for each in created} == {kind.name for kind in load.KINDS}


def test_the_dags_of_the_mljobs_exist_except_one() -> None:
    known = {dag.dag_id for dag in read_dags(DAGS)}
    assert {kind.name for kind in load.KINDS if kind.spec["dagId"] not in known} == {"unknown"}
    assert known <= {kind.spec["dagId"] for kind in load.KINDS}


def test_the_prefix_of_run_ids_is_short_enough_for_the_operator() -> None:
    assert len(PREFIX) <= 16


def test_the_scrape_keeps_the_namespaces_of_mljobs() -> None:
    (scrape,) = configuration("127.0.0.1:8080", 5)["scrape_configs"]
    assert scrape["honor_labels"] is True
    assert scrape["job_name"] == "mljob-operator"


def test_the_result_counts_what_was_drawn() -> None:
    row = panel(type="row", targets=[])
    filled = filled_panels(dashboard(row, panel()), Answers(series()))
    expected = {"mljobs": 7, "panels": 1, "expressions": 1, "series": 1, "exemplars": 0}
    assert Result(7, filled).as_json() == expected
