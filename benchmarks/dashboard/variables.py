"""Replaces variables in the expressions of a dashboard, as Grafana does.

``$__rate_interval`` is the time over which a rate is taken. Grafana documents it as ``max($__interval
+ scrape interval, 4 * scrape interval)``, where ``$__interval`` is the time between two points of a
graph (`Prometheus template variables
<https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/>`_).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bench_stack import MeasurementError
from benchmarks.dashboard.panels import Variable

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The time that the dashboard shows.

    Attributes:
        start: The begin, in seconds since the epoch.
        end: The end, in seconds since the epoch.
        scrape_interval: The seconds between two scrapes: the *Scrape interval* of the data source.
    """

    start: float
    end: float
    scrape_interval: int

    def interval(self, points: int) -> int:
        """Return ``$__interval``, in seconds, for a graph with at most ``points`` points."""
        return max(self.scrape_interval, math.ceil((self.end - self.start) / points))

    def rate_interval(self, points: int) -> int:
        """Return ``$__rate_interval``, in seconds, for a graph with at most ``points`` points."""
        return max(self.interval(points) + self.scrape_interval, 4 * self.scrape_interval)


def values(variables: Sequence[Variable], shown: TimeRange, points: int) -> dict[str, str]:
    """Return the value of each variable, without the dollar sign, for a graph of ``points`` points."""
    intervals = {
        "__interval": f"{shown.interval(points)}s",
        "__rate_interval": f"{shown.rate_interval(points)}s",
        "__range": f"{shown.end - shown.start:.0f}s",
    }
    return {variable.name: variable.value for variable in variables} | intervals


def substitute(text: str, known: Mapping[str, str]) -> str:
    """Replace the variables in a text: ``$name``, ``${name}`` and ``${name:format}``. The values of
    this dashboard look the same in all formats.

    Raises:
        MeasurementError: A variable is not in ``known``.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in known:
            raise MeasurementError(f"the dashboard has no variable ${name}: {text}")
        return known[name]

    return _VARIABLE.sub(value, text)
