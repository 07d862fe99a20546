"""Draws the panels of a dashboard, at their places on the dashboard's grid, as a PNG file.

The picture resembles the dashboard in Grafana, but Grafana has no part in it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.dashboard import units
from benchmarks.dashboard.evaluation import FilledPanel, Line
from benchmarks.dashboard.layout import POINTS, WIDTH, Box, box, height, wrapped
from benchmarks.dashboard.panels import Dashboard
from benchmarks.dashboard.variables import TimeRange

SCALE = 1.5
"""Pixels of the file for each pixel of the layout."""
DPI = 100

PAGE, CARD, BORDER = "#f4f5f5", "#ffffff", "#dcdfe3"
INK, FAINT, GRID = "#24292e", "#666c75", "#e8eaed"
PALETTE = ("#3274d9", "#e8820c", "#3c9a4b", "#8f3bb8", "#d4353f", "#1a9e96", "#8a5a2b", "#d6589b", "#6b7280", "#a89a14",
           "#1f4e8c", "#f2a65a", "#7bc47f", "#c79ae0", "#f28b82", "#7fd1cb")  # fmt: skip
NAMED = {"green": "#3c9a4b", "red": "#d4353f", "orange": "#e8820c", "blue": "#3274d9", "yellow": "#d9a400",
         "purple": "#8f3bb8", "gray": "#8b929c", "text": INK}  # fmt: skip
"""The colours that the dashboard names."""

HEADING, SECTION, TITLE, TEXT, SMALL, FIGURE = 20.0, 15.0, 13.5, 12.0, 11.0, 34.0
"""Sizes of letters, in pixels."""
POINT = 72 / DPI
"""The points of a pixel."""
_BOLD = 1.13
"""The width of a bold text, divided by that of the same text in normal letters."""
_LINE, _SWATCH, _BETWEEN = 17.0, 14.0, 12.0
"""The height of a legend's line, and the widths of a sample of the colour and of the space after a
name.
"""


def draw(dashboard: Dashboard, panels: Sequence[FilledPanel], shown: TimeRange, file: Path) -> None:
    """Write the picture to ``file``."""
    picture = _Picture(height([each.panel.position for each in panels]), shown)
    picture.header(dashboard)
    for each in panels:
        {"row": picture.row, "stat": picture.stat, "timeseries": picture.graph}[each.panel.kind](each)
    _write_with_few_colours(picture.png(), file)


def _write_with_few_colours(png: bytes, file: Path) -> None:
    """Write a picture with each colour replaced by the nearest one of :func:`file_colours`. Pillow's
    own search for the nearest colour is not exact.
    """
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    few = np.array(file_colours(), dtype=np.int32)
    pixels = np.asarray(image, dtype=np.int32).reshape(-1, 3)
    seen, places = np.unique(pixels @ np.array([65536, 256, 1]), return_inverse=True)
    colours = np.stack([seen >> 16, (seen >> 8) & 255, seen & 255], axis=1)
    nearest = np.array([((few - colour) ** 2).sum(axis=1).argmin() for colour in colours], dtype=np.uint8)
    indexed = Image.fromarray(nearest[places].reshape(image.height, image.width))
    indexed.putpalette(few.astype(np.uint8).tobytes())
    indexed.save(file, optimize=True)


class _Picture:
    """A picture of ``WIDTH`` by ``tall`` pixels, which are multiplied by ``SCALE`` in the file."""

    def __init__(self, tall: float, shown: TimeRange) -> None:
        mpl.use("agg")
        from matplotlib.figure import Figure

        self._tall = tall
        self._shown = shown
        self._figure = Figure(figsize=(WIDTH / DPI, tall / DPI), dpi=DPI, facecolor=PAGE)
        # The axes of texts and rectangles: their unit is a pixel, and y grows downwards.
        self._page = self._figure.add_axes((0, 0, 1, 1))
        self._page.set(xlim=(0, WIDTH), ylim=(tall, 0))
        self._page.axis("off")

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        file = io.BytesIO()
        self._figure.savefig(file, format="png", dpi=DPI * SCALE)
        return file.getvalue()

    def header(self, dashboard: Dashboard) -> None:
        """Draw the title, the chosen values of the variables, and the time range."""
        self._text(18, 24, dashboard.title, HEADING, weight="bold")
        seconds = self._shown.end - self._shown.start
        self._text(WIDTH - 18, 24, f"Last {seconds / 60:.0f} minutes, UTC", TEXT, FAINT, align="right")
        left = 18.0
        for variable in dashboard.variables:
            self._text(left, 54, variable.title, TEXT, FAINT)
            left += _width(variable.title, TEXT) + 6
            width = _width("All", TEXT) + 16
            self._card(Box(left, 43, width, 21))
            self._text(left + 8, 54, "All", TEXT)
            left += width + 18

    def row(self, each: FilledPanel) -> None:
        """Draw the heading of a row."""
        at = box(each.panel.position)
        self._text(at.left + 2, at.top + at.height / 2, each.panel.title, SECTION, weight="bold")

    def stat(self, each: FilledPanel) -> None:
        """Draw the last value of each line in large letters."""
        at = self._panel(each)
        for line, column in zip(each.lines, at.columns(len(each.lines)), strict=True):
            middle = column.left + column.width / 2
            shown = (each.panel.mappings or {}).get(f"{line.last:g}") or units.text(line.last, each.panel.unit)
            colour = _figure_colour(each, line.last)
            self._text(middle, column.top + column.height * 0.53, shown, FIGURE, colour, align="center", weight="bold")
            if len(each.lines) > 1 or line.name:
                self._text(middle, column.bottom - 15, line.name, TEXT, FAINT, align="center")

    def graph(self, each: FilledPanel) -> None:
        """Draw the lines over time, with a legend below."""
        from matplotlib.ticker import FuncFormatter, MultipleLocator

        at = self._panel(each)
        bottom = self._legend(each, at)
        inner = Box(at.left + 58, at.top + 36, at.width - 78, bottom - at.top - 36 - 22)
        axes = self._figure.add_axes(
            (inner.left / WIDTH, 1 - inner.bottom / self._tall, inner.width / WIDTH, inner.height / self._tall)
        )
        axes.set_facecolor(CARD)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=SMALL * POINT, labelcolor=FAINT, pad=5)
        axes.grid(visible=True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        self._lines(axes, each)
        top = _top(axes.dataLim.y1)
        axes.set(xlim=(self._shown.start, self._shown.end), ylim=(0, top))
        axes.yaxis.set_major_locator(MultipleLocator(units.tick_distance(top, each.panel.unit)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.text(round(value, 9), each.panel.unit)))
        minutes = range(math.ceil(self._shown.start / 60) * 60, math.floor(self._shown.end) + 1, 60)
        axes.set_xticks(minutes, [datetime.fromtimestamp(at, UTC).strftime("%H:%M") for at in minutes])
        seen = [(at, value) for at, value in each.exemplars if value <= top]
        times, values = [at for at, _ in seen], [value for _, value in seen]
        axes.scatter(times, values, marker="D", s=7, color=FAINT, alpha=0.45, linewidth=0)

    def _lines(self, axes: Any, each: FilledPanel) -> None:
        interval = self._shown.interval(POINTS)
        count = int((self._shown.end - self._shown.start) // interval) + 1
        times = [self._shown.start + number * interval for number in range(count)]
        values = [aligned(line, times) for line in each.lines]
        heights = stacked(values) if each.panel.stacked else values
        base = [0.0] * count
        for upper, colour in zip(heights, _colours(each), strict=True):
            axes.fill_between(times, base, upper, color=colour, alpha=each.panel.fill, linewidth=0)
            axes.plot(times, upper, color=colour, linewidth=1.3, solid_joinstyle="round")
            if each.panel.stacked:
                base = upper

    def _panel(self, each: FilledPanel) -> Box:
        at = box(each.panel.position)
        self._card(at)
        room = at.width - 22
        size = TITLE * min(1, room / (_width(each.panel.title, TITLE) * _BOLD))
        self._text(at.left + 11, at.top + 18, each.panel.title, size, weight="bold")
        return at

    def _legend(self, each: FilledPanel, at: Box) -> float:
        """Draw the legend. Return the distance of its upper edge from the upper edge of the picture."""
        colours = _colours(each)
        widths = [_SWATCH + 5 + _width(line.name, TEXT) + _BETWEEN for line in each.lines]
        lines = wrapped(widths, at.width - 20 + _BETWEEN)
        top = at.bottom - 9 - _LINE * len(lines)
        for number, entries in enumerate(lines):
            left, y = at.left + 12, top + _LINE * (number + 0.5)
            for entry in entries:
                self._page.plot((left, left + _SWATCH), (y, y), color=colours[entry], linewidth=2.6, clip_on=False)
                self._text(left + _SWATCH + 5, y, each.lines[entry].name, TEXT)
                left += widths[entry]
        return top

    def _card(self, at: Box) -> None:
        from matplotlib.patches import FancyBboxPatch

        style = "round,pad=0,rounding_size=3"
        patch = FancyBboxPatch(
            (at.left, at.top), at.width, at.height, boxstyle=style, facecolor=CARD, edgecolor=BORDER, linewidth=0.8
        )
        self._page.add_patch(patch)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = INK,
        *,
        align: str = "left",
        weight: str = "normal",
    ) -> None:
        self._page.text(
            x, y, text, fontsize=size * POINT, color=colour, ha=align, va="center_baseline", fontweight=weight
        )


def file_colours() -> list[tuple[int, ...]]:
    """Return the colours of the file, at most 256: the colours of the picture, and mixtures of the
    colours of lines and texts with the white of the panels. They are the same for each picture, and
    make the file smaller by two thirds.
    """

    def parts(colour: str) -> tuple[int, ...]:
        return tuple(bytes.fromhex(colour.removeprefix("#")))

    mixed = dict.fromkeys((*PALETTE, *NAMED.values(), FAINT))
    shares = (1.0, 0.75, 0.5, 0.35, 0.25, 0.17, 0.1, 0.05)
    tints = [tuple(round(255 + share * (part - 255)) for part in parts(colour)) for colour in mixed for share in shares]
    greys = [(level, level, level) for level in range(40, 256, 12)]
    return list(dict.fromkeys([*map(parts, (PAGE, CARD, BORDER, GRID)), *tints, *greys]))


def aligned(line: Line, times: Sequence[float]) -> list[float]:
    """Return the value of a line at each time, or not a number where the line has no value."""
    values = {round(at, 2): value for at, value in line.samples}
    return [values.get(round(at, 2), math.nan) for at in times]


def stacked(lines: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the upper edges of stacked lines. A line without a value counts as 0. Where no line has a
    value, the edges are not a number.
    """
    edges: list[list[float]] = []
    below = [math.nan if all(map(math.isnan, column)) else 0.0 for column in zip(*lines, strict=True)]
    for line in lines:
        below = [base + (0.0 if math.isnan(value) else value) for base, value in zip(below, line, strict=True)]
        edges.append(below)
    return edges


def _top(highest: float) -> float:
    return highest * 1.08 if highest > 0 and math.isfinite(highest) else 1.0


def _colours(each: FilledPanel) -> list[str]:
    fixed: Mapping[str, str] = each.panel.colours or {}
    return [
        NAMED.get(fixed[line.name], fixed[line.name]) if line.name in fixed else PALETTE[number % len(PALETTE)]
        for number, line in enumerate(each.lines)
    ]


def _figure_colour(each: FilledPanel, value: float) -> str:
    reached = [colour for begin, colour in each.panel.thresholds if value >= begin]
    colour = each.panel.colour or (reached[-1] if reached else PALETTE[0])
    return NAMED.get(colour, colour)


def _width(text: str, size: float) -> float:
    """Return the width of a text in pixels."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().x1) if text.strip() else 0.0
