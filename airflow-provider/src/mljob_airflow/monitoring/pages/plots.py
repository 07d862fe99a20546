"""Makes charts as inline SVG, without a library or a script. CSS classes of the page set the
colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from mljob_contract.reports import Series

WIDTH, HEIGHT = 640, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22
SPARK_WIDTH, SPARK_HEIGHT = 180, 40


def area(series: Series) -> str:
    """Draw a series over time as a filled area, and return the SVG. If the series has a limit, draw
    the limit as a line.
    """
    top = max([*series.values, series.limit or 0.0, 1.0]) * 1.08
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(step: float) -> float:
        return LEFT + wide * step / max(len(series.values), 1)

    def y(value: float) -> float:
        return TOP + high * (1 - value / top)

    # Each value is the mean over a step of time, so the value is drawn as a horizontal line and not
    # as a slope.
    steps = " ".join(
        f"L{x(index):.1f} {y(value):.1f} L{x(index + 1):.1f} {y(value):.1f}"
        for index, value in enumerate(series.values)
    )
    base = y(0)
    parts = [f'<path class="area" d="M{LEFT} {base:.1f} {steps} L{x(len(series.values)):.1f} {base:.1f} Z"/>']
    if series.limit is not None:
        line = y(series.limit)
        parts.append(f'<path class="limit" d="M{LEFT} {line:.1f} H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{line + 4:.1f}" text-anchor="end">{series.limit:g}</text>')
    else:
        peak = max(series.values, default=0.0)
        parts.append(f'<text x="{LEFT - 6}" y="{y(peak) + 4:.1f}" text-anchor="end">{peak:.3g}</text>')
    parts.append(f'<text x="{LEFT - 6}" y="{base + 4:.1f}" text-anchor="end">0</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {base:.1f} H{WIDTH - RIGHT}"/>')
    for number, (at, share) in enumerate(_ticks(series)):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        # On a phone, the page's CSS hides the labels of class "odd", because there is room for
        # every second label only.
        kind = ' class="odd"' if number % 2 else ""
        parts.append(
            f'<text{kind} x="{LEFT + wide * share:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{at:%H:%M}</text>'
        )
    label = escape(f"{series.title}, {series.unit}: at most {max(series.values, default=0):g}")
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def sparkline(values: Sequence[float], limit: float | None = None) -> str:
    """Draw a small chart of a task's last runs, and return the SVG. For fewer than two values,
    return an empty string.

    Args:
        values: The task's durations or waits, oldest first.
        limit: A value to draw as a line.
    """
    if len(values) < 2:
        return ""
    top = max([*values, limit or 0.0]) * 1.08 or 1.0
    wide, high = SPARK_WIDTH - 10, SPARK_HEIGHT - 8

    def place(index: int, value: float) -> tuple[float, float]:
        return 5 + wide * index / (len(values) - 1), 4 + high * (1 - value / top)

    points = " ".join("{:.1f},{:.1f}".format(*place(index, value)) for index, value in enumerate(values))
    x, y = place(len(values) - 1, values[-1])
    line = ""
    if limit is not None:
        line = f'<path class="limit" d="M0 {place(0, limit)[1]:.1f} H{SPARK_WIDTH}"/>'
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" '
        f'aria-label="the last {len(values)} runs">{line}<polyline class="line" points="{points}"/>'
        f'<circle class="newest" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/></svg>'
    )


def _ticks(series: Series, number: int = 6) -> list[tuple[datetime, float]]:
    length = series.step_seconds * len(series.values)
    return [(series.start + timedelta(seconds=length * i / number), i / number) for i in range(number + 1)]
