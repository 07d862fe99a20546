"""Draws the plot of the DAG ``select_model``: the accuracy of each candidate model in each fold,
and the learning curve of the chosen candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT = 720, 170, 60
ROW, TOP, CURVE = 34, 46, 150
INK, PALE, CHOSEN = "#444", "#bbb", "#0a7d55"


def comparison(scores: Mapping[str, Sequence[float]], chosen: str, curve: Sequence[tuple[int, float]]) -> str:
    """Return an SVG document with the accuracy of each candidate model and the learning curve of the
    chosen candidate.

    Args:
        scores: The accuracy of each candidate in each fold, from 0 to 1.
        chosen: The name of the chosen candidate.
        curve: The learning curve: pairs of a number of training rows and the accuracy with these
            rows, fewest rows first.
    """
    wide = WIDTH - LEFT - RIGHT
    values = [*(value for row in scores.values() for value in row), *(value for _, value in curve)]
    low, high = max(0.0, min(values) - 0.02), min(1.0, max(values) + 0.02)

    def share(value: float) -> float:
        return (value - low) / (high - low)

    parts = [_text(LEFT, 20, f"Accuracy in each fold, {low:.2f} to {high:.2f}; the line is the mean", bold=True)]
    for number, (name, folds) in enumerate(sorted(scores.items(), key=lambda item: -_mean(item[1]))):
        y = TOP + ROW * number
        colour = CHOSEN if name == chosen else INK
        parts.append(_text(LEFT - 12, y + 5, name.replace("_", " "), anchor="end", bold=name == chosen))
        parts.append(f'<path d="M{LEFT} {y} h{wide}" stroke="{PALE}"/>')
        parts += [
            f'<circle cx="{LEFT + wide * share(value):.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.5"/>'
            for value in folds
        ]
        x = LEFT + wide * share(_mean(folds))
        parts.append(f'<path d="M{x:.1f} {y - 11} v22" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(_text(WIDTH - RIGHT + 8, y + 5, f"{_mean(folds):.3f}"))

    top = TOP + ROW * len(scores) + 40
    parts.append(_text(LEFT, top - 14, f"{chosen.replace('_', ' ')}: accuracy by training rows", bold=True))
    most = max(rows for rows, _ in curve)
    points = [(LEFT + wide * rows / most, top + CURVE * (1 - share(value)), rows, value) for rows, value in curve]
    parts.append(f'<path d="M{LEFT} {top} v{CURVE} h{wide}" stroke="{PALE}" fill="none"/>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{CHOSEN}" stroke-width="2.5"/>')
    for across, down, rows, value in points:
        parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="{CHOSEN}"/>')
        parts.append(_text(across, down - 9, f"{value:.3f}", anchor="middle"))
        parts.append(_text(across, top + CURVE + 18, str(rows), anchor="middle"))
    height = top + CURVE + 32
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{weight}>{escape(text)}</text>'
