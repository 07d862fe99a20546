"""Curves of metrics. A picture shows one metric. A line in a picture shows one task instance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from mljob_contract.history import MetricsReport

from ...render.numbers import number
from .outside_text import cut

WIDTH: Final = 360
HEIGHT: Final = 196
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 12, 32
"""Margins of the axes, in units of the picture."""
MAX_POINTS: Final = 240
"""The maximum number of points of a series in a picture. Of each part of a longer series, the
lowest and the highest point are drawn.
"""
MAX_VALUE: Final = 1e300
"""Larger numbers are drawn as this number, so that the sum of two drawn numbers is never infinite.
"""
MAX_CURVES: Final = 24
"""The maximum number of metrics that a page draws."""
MAX_LINES: Final = 8
"""The maximum number of lines in a picture: as many as there are colours that can be told apart."""
STEPS: Final = ("epoch", "step", "iteration", "global_step")
"""Metrics that can be the horizontal axis. The first of them that a report has is the report's
axis.
"""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one metric of one task instance, in the order of the horizontal axis.

    Attributes:
        label: The name of the line in the picture.
        points: The points.
        job: The name of the MLJob, which decides the colour of the line. Empty on the page of one
            MLJob.
    """

    label: str
    points: Points
    job: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A series that is drawn as a line in the picture.

    Attributes:
        path: The line as an SVG path.
        end: The position of the last point, in units of the picture.
        last: The last value, as text.
        words: The series in a sentence, for readers who don't see the picture.
    """

    label: str
    job: str
    path: str
    end: tuple[float, float]
    last: str
    words: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The picture of a metric. Each tick of an axis is a pair: the position in units of the
    picture, and the text at this position.

    Attributes:
        name: The name of the metric.
        axis: What the horizontal axis counts: ``seconds``, or a metric such as ``epoch``.
        omitted: How many lines are left out, because the picture would have too many.
    """

    name: str
    axis: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    omitted: int = 0


def by_instance(reports: Iterable[MetricsReport]) -> dict[str, dict[int, list[MetricsReport]]]:
    """Group reports by task, and within a task by map index. The tasks have the order of their
    first reports. The map indexes are in ascending order.
    """
    found: dict[str, dict[int, list[MetricsReport]]] = {}
    for report in reports:
        found.setdefault(report.task_id, {}).setdefault(report.map_index, []).append(report)
    return {task: dict(sorted(instances.items())) for task, instances in found.items()}


def instance_name(task: str, map_index: int) -> str:
    """Return the name of a task instance, such as ``fit`` or ``fit[3]``."""
    return task if map_index < 0 else f"{task}[{map_index}]"


def series_of(reports: Iterable[MetricsReport], label: str) -> dict[tuple[str, str], Series]:
    """Return at most :data:`MAX_CURVES` series of one task instance. The key of a series is a pair:
    the names of the metric and of the horizontal axis.

    Each report decides the axis of its values: the first name in :data:`STEPS` that is a metric of
    the report, such as ``epoch``. For a report without such a metric, the axis is ``seconds``,
    counted from the first report of the try. If a series has two values at the same position, the
    later value replaces the earlier value.

    A series shows the newest try. Points of earlier tries stay only if they are before the first
    position of the newest try, for example if a training continues from its checkpoint of epoch 5.

    Args:
        reports: The reports of the task instance, oldest first.
        label: The name of the line in the picture.
    """
    values: dict[tuple[str, str], dict[float, float]] = {}
    newest, begin = -1, 0.0
    begun: set[str] = set()
    for report in reports:
        at = report.time.timestamp()
        if report.try_number < newest:
            continue
        if report.try_number > newest:
            newest, begin, begun = report.try_number, at, set()
        step = next((name for name in STEPS if name in report.metrics), None)
        axis = step or "seconds"
        x = report.metrics[step] if step else round(at - begin, 3)
        if axis not in begun:
            begun.add(axis)
            _forget_from(x, [found for (_, other), found in values.items() if other == axis])
        for name, value in report.metrics.items():
            if name != step and name not in STEPS:
                values.setdefault((name, axis), {})[x] = value
    drawn = [(key, found) for key, found in values.items() if found]
    return {key: Series(label, tuple(sorted(found.items()))) for key, found in drawn[:MAX_CURVES]}


def _forget_from(position: float, series: Iterable[dict[float, float]]) -> None:
    for points in series:
        for x in [x for x in points if x >= position]:
            del points[x]


def curve(name: str, axis: str, series: Sequence[Series], omitted: int = 0) -> Curve | None:
    """Return the picture of one metric, or None if no series has points.

    Args:
        name: The name of the metric.
        axis: The name of the horizontal axis.
        series: The series of the metric.
        omitted: How many series the caller has left out.
    """
    drawn = [replace(one, points=_bounded(one.points)) for one in series if one.points]
    if not drawn:
        return None
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    x_low, x_high = _widened(min(xs), max(xs))
    y_ticks = _ticks(*_widened(min(ys), max(ys)))
    y_low, y_high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))
    across, down = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + across * _share(x, x_low, x_high), 1),
            round(_TOP + down * (1 - _share(y, y_low, y_high)), 1),
        )

    x_ticks = [tick for tick in _ticks(x_low, x_high) if x_low <= tick <= x_high]
    return Curve(
        name=cut(name, 80),
        axis=axis,
        lines=tuple(_line(one, name, axis, place) for one in drawn),
        x_ticks=tuple((place(tick, y_low)[0], number(tick)) for tick in x_ticks),
        y_ticks=tuple((place(x_low, tick)[1], number(tick)) for tick in y_ticks),
        omitted=omitted,
    )


def sparkline(values: Sequence[float]) -> str:
    """Return the SVG path of a curve in a picture that is 60 units wide and 16 units high. Return an
    empty text for fewer than two values.
    """
    if len(values) < 2:
        return ""
    values = [_clamped(value) for value in values]
    low, high = _widened(min(values), max(values))
    step = 58 / (len(values) - 1)
    points = [f"{1 + at * step:.1f},{15 - 14 * _share(value, low, high):.1f}" for at, value in enumerate(values)]
    return "M" + "L".join(points)


def _clamped(value: float) -> float:
    return max(-MAX_VALUE, min(MAX_VALUE, value))


def _bounded(points: Points) -> Points:
    return tuple((_clamped(x), _clamped(y)) for x, y in points)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low)


def _widened(low: float, high: float) -> tuple[float, float]:
    if high > low:
        return low, high
    room = abs(low) / 10 or 1.0
    return low - room, high + room


def _ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Return round numbers that cover the range from ``low`` to ``high``. The distance between the
    numbers is 1, 2 or 5 times a power of ten. Return ``low`` and ``high`` if floats can't hold such
    numbers.
    """
    raw = (high - low) / wanted
    if not math.isfinite(raw) or raw <= 0 or raw < 1e-300:
        return [low, high]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if last - first > 3 * wanted or not math.isfinite(last * step):
        return [low, high]
    return [round(number * step, 12) if power > 1e-9 else number * step for number in range(first, last + 1)]


def _thinned(points: Points) -> Points:
    """Return at most :data:`MAX_POINTS` points of a series. A longer series is divided into
    sections. The lowest and the highest point of each section are kept, so that no peak is lost.
    """
    if len(points) <= MAX_POINTS:
        return points
    parts = MAX_POINTS // 2 - 1
    bounds = [round(number * len(points) / parts) for number in range(parts + 1)]
    kept = {points[0], points[-1]}
    for begin, end in pairwise(bounds):
        part = points[begin:end]
        kept.add(min(part, key=lambda point: point[1]))
        kept.add(max(part, key=lambda point: point[1]))
    return tuple(sorted(kept))


def _line(series: Series, name: str, axis: str, place: object) -> Line:
    assert callable(place)
    places = [place(x, y) for x, y in _thinned(series.points)]
    values = [y for _, y in series.points]
    last_x = series.points[-1][0]
    words = (
        f"{series.label}: {name} is {number(values[-1])} at {axis} {number(last_x)}, "
        f"the lowest value is {number(min(values))}, the highest {number(max(values))}."
    )
    path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places)
    return Line(cut(series.label, 80), series.job, path, places[-1], number(values[-1]), words)
