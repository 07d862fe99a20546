"""The panels and variables of a dashboard for Grafana, as far as :mod:`.picture` shows them.

The field names are those of Grafana's `dashboard JSON model
<https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>`_.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.bench_stack import MeasurementError

KINDS = ("row", "stat", "timeseries")
ALL = "$__all"
_LABEL = re.compile(r"\{\{\s*(.+?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class GridPosition:
    """The place of a panel on the dashboard's grid, which has 24 columns. ``y`` grows downwards."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True, slots=True)
class Target:
    """A query of a panel.

    Attributes:
        expression: The PromQL expression, with variables.
        legend: The format of the names of the series, such as ``{{phase}}``.
        exemplars: Whether the panel shows the exemplars of the histogram in the expression.
    """

    expression: str
    legend: str
    exemplars: bool = False

    def name(self, labels: Mapping[str, str]) -> str:
        """Return the name of a series with these labels. As in Grafana, a label that the series lacks
        is replaced by an empty text.
        """
        return _LABEL.sub(lambda found: labels.get(found[1], ""), self.legend)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Attributes:
        kind: One of ``KINDS``. A row is a heading.
        unit: Grafana's id of the unit, such as ``s``.
        stacked: Whether the series are stacked.
        fill: The opacity of the area below a line, from 0 to 1.
        mappings: The texts that replace values, by value.
        thresholds: Pairs of a value and the colour from this value on, in ascending order.
        colour: The colour of all series, or None.
        colours: The colours of series, by name. Other series get the colours of a palette.
    """

    title: str
    kind: str
    position: GridPosition
    targets: Sequence[Target] = ()
    unit: str = "short"
    stacked: bool = False
    fill: float = 0.0
    mappings: Mapping[str, str] | None = None
    thresholds: Sequence[tuple[float, str]] = ()
    colour: str | None = None
    colours: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the dashboard whose values are those of a label.

    Attributes:
        name: The name in expressions, without the dollar sign.
        title: The name that people see.
        value: The chosen value. For *All*, this is the regular expression that matches all values.
        metric: The selector of the series that have the label. It may contain other variables.
        label: The label.
    """

    name: str
    title: str
    value: str
    metric: str
    label: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: its title, variables and panels."""

    title: str
    variables: Sequence[Variable]
    panels: Sequence[Panel]


def read(text: str) -> Dashboard:
    """Read a dashboard from JSON.

    Raises:
        MeasurementError: The dashboard has a panel of an unknown kind, or a variable that is not
            ``label_values(...)`` with *All* as its value.
    """
    content = json.loads(text)
    variables = [_variable(each) for each in content["templating"]["list"] if each["type"] != "datasource"]
    return Dashboard(content["title"], variables, [_panel(each) for each in content["panels"]])


def _variable(content: Mapping[str, Any]) -> Variable:
    found = re.fullmatch(r"label_values\((.+), *(\w+)\)", content["definition"])
    if content["type"] != "query" or found is None or content["current"]["value"] != [ALL] or "allValue" not in content:
        raise MeasurementError(f"variable {content['name']}: only label_values(...) with the value All is supported")
    return Variable(content["name"], content["label"], content["allValue"], found[1], found[2])


def _panel(content: Mapping[str, Any]) -> Panel:
    title, kind = content["title"], content["type"]
    if kind not in KINDS:
        raise MeasurementError(f"panel {title!r}: the type {kind} is not supported, only {', '.join(KINDS)}")
    fields = content.get("fieldConfig", {})
    defaults = fields.get("defaults", {})
    custom = defaults.get("custom", {})
    return Panel(
        title,
        kind,
        GridPosition(**content["gridPos"]),
        [
            Target(target["expr"], target["legendFormat"], target.get("exemplar", False))
            for target in content.get("targets", ())
        ],
        defaults.get("unit", "short"),
        custom.get("stacking", {}).get("mode") == "normal",
        custom.get("fillOpacity", 0) / 100,
        {
            value: shown["text"]
            for mapping in defaults.get("mappings", ())
            if mapping["type"] == "value"
            for value, shown in mapping["options"].items()
        },
        [
            (float("-inf") if step["value"] is None else step["value"], step["color"])
            for step in defaults.get("thresholds", {}).get("steps", ())
        ],
        _fixed(defaults.get("color", {})),
        dict(filter(None, map(_colour, fields.get("overrides", ())))),
    )


def _colour(override: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the name of a series and its fixed colour, or None for another kind of override."""
    if override["matcher"]["id"] != "byName":
        return None
    for each in override["properties"]:
        if each["id"] == "color" and (colour := _fixed(each["value"])) is not None:
            return override["matcher"]["options"], colour
    return None


def _fixed(colour: Mapping[str, str]) -> str | None:
    return colour["fixedColor"] if colour.get("mode") == "fixed" else None
