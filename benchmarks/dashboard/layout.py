"""Places panels and the names of their legends, in pixels of a picture of ``WIDTH`` pixels. The grid
is Grafana's: 24 columns, and rows of 30 pixels with 8 pixels between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.dashboard.panels import GridPosition

WIDTH = 1280
POINTS = WIDTH // 3
"""The most points of a graph: one for each pixel of the width of a panel with eight columns."""
MARGIN = 16
GAP = 8
HEADER = 76
"""The height of the dashboard's title and variables."""
_COLUMNS, _ROW = 24, 30


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle. ``top`` is the distance from the upper edge of the picture."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The distance of the right edge from the left edge of the picture."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The distance of the lower edge from the upper edge of the picture."""
        return self.top + self.height

    def columns(self, count: int) -> Iterator[Box]:
        """Yield ``count`` boxes of the same size that fill this box from left to right."""
        for number in range(count):
            yield Box(self.left + number * self.width / count, self.top, self.width / count, self.height)


def box(position: GridPosition) -> Box:
    """Return the rectangle of a panel."""
    column, row = (WIDTH - 2 * MARGIN + GAP) / _COLUMNS, _ROW + GAP
    return Box(
        MARGIN + position.x * column,
        HEADER + position.y * row,
        position.w * column - GAP,
        position.h * row - GAP,
    )


def height(positions: Sequence[GridPosition]) -> float:
    """Return the height of the picture."""
    return max(box(position).bottom for position in positions) + MARGIN


def wrapped(widths: Sequence[float], available: float) -> list[list[int]]:
    """Distribute entries of a legend over lines. Return the numbers of the entries of each line.

    Args:
        widths: The width of each entry, with the space after it.
        available: The width of a line. An entry that is wider has a line of its own.
    """
    lines: list[list[int]] = []
    used = 0.0
    for number, width in enumerate(widths):
        if not lines or used + width > available:
            lines.append([])
            used = 0.0
        lines[-1].append(number)
        used += width
    return lines
