"""Evaluates the expressions of a dashboard's panels by Prometheus, and finds defects of the
dashboard.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.dashboard.panels import Dashboard, Panel, Target
from benchmarks.dashboard.prometheus import RefusedQueryError, Series
from benchmarks.dashboard.variables import TimeRange, substitute, values


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of a panel, with pairs of a time and a value. Times are in seconds since the
    epoch.
    """

    name: str
    samples: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """The last value that is a number. Not a number if there is none."""
        return next((value for _, value in reversed(self.samples) if not math.isnan(value)), math.nan)


@dataclass(frozen=True, slots=True)
class FilledPanel:
    """A panel with its lines, and with pairs of a time and a value for each exemplar."""

    panel: Panel
    lines: Sequence[Line] = ()
    exemplars: Sequence[tuple[float, float]] = ()


class Source(Protocol):
    """The methods of :class:`.Prometheus` that the evaluation uses."""

    def query_range(self, expression: str, shown: TimeRange, step: int) -> list[Series]:
        """See :meth:`.Prometheus.query_range`."""
        ...

    def exemplars(self, expression: str, shown: TimeRange) -> list[tuple[float, float]]:
        """See :meth:`.Prometheus.exemplars`."""
        ...

    def label_values(self, label: str, selector: str) -> list[str]:
        """See :meth:`.Prometheus.label_values`."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The panels of a dashboard with their lines, and messages about defects of the dashboard."""

    panels: Sequence[FilledPanel]
    defects: Sequence[str]


def evaluate(dashboard: Dashboard, source: Source, shown: TimeRange, points: int) -> Evaluation:
    """Evaluate the expressions of all panels.

    These are the defects: an expression that Prometheus refuses or that has no data, a variable
    without values, and a series without a name or with the name of another series of its panel.

    Args:
        dashboard: The dashboard.
        source: The Prometheus.
        shown: The time range of the dashboard.
        points: The most points that a graph has: its width in pixels.
    """
    known = values(dashboard.variables, shown, points)
    defects: list[str] = []
    for variable in dashboard.variables:
        selector = substitute(variable.metric, known)
        try:
            found = source.label_values(variable.label, selector)
        except RefusedQueryError as refused:
            defects.append(f"variable {variable.name}: Prometheus refuses {selector}: {refused}")
        else:
            if not found:
                defects.append(f"variable {variable.name}: {selector} has no label {variable.label}")
    filled = []
    for panel in dashboard.panels:
        lines: list[Line] = []
        exemplars: set[tuple[float, float]] = set()
        for target in panel.targets:
            expression = substitute(target.expression, known)
            try:
                lines += _lines(target, source.query_range(expression, shown, shown.interval(points)))
                if target.exemplars:
                    exemplars.update(source.exemplars(expression, shown))
            except (RefusedQueryError, _NoDataError) as problem:
                defects.append(f"panel {panel.title!r}: {expression}: {problem}")
        defects += [f"panel {panel.title!r}: {problem}" for problem in unreadable(panel, lines)]
        filled.append(FilledPanel(panel, lines, sorted(exemplars)))
    return Evaluation(filled, defects)


class _NoDataError(RuntimeError):
    """An expression has no data."""


def _lines(target: Target, found: Sequence[Series]) -> list[Line]:
    lines = [Line(target.name(series.labels), series.samples) for series in found]
    if all(math.isnan(line.last) for line in lines):
        raise _NoDataError("no data")
    return lines


def unreadable(panel: Panel, lines: Sequence[Line]) -> list[str]:
    """Return messages about lines whose names in the legend don't identify them. A single line of a
    stat panel needs no name.
    """
    if panel.kind == "stat" and len(lines) == 1 and not panel.targets[0].legend:
        return []
    names = Counter(line.name for line in lines)
    blank = [f"{name!r} is no name in a legend" for name in names if name != name.strip() or not name]
    return blank + [f"{count} series have the name {name!r}" for name, count in names.items() if count > 1]
