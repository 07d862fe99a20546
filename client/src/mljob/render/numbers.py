"""Numbers, metrics, outputs and progress bars as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..text import plain, value_text

BAR = 10
"""The width of a bar, in columns."""
MAX_SHOWN_METRICS = 4
"""The maximum number of metrics on a line."""
_MAX_NAME = 24
_MAX_VALUE = 200


def number(value: float) -> str:
    """Return a number as text. A whole number (an int, or a float such as 2.0) whose absolute value
    is below 10⁹ has all its digits, and no decimal point. Any other number has at most four
    significant digits.
    """
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def metrics(values: Mapping[str, float], most: int = MAX_SHOWN_METRICS) -> str:
    """Return the first ``most`` metrics as text, such as ``loss 0.1532  epoch 9  +2``. In this
    example, ``+2`` says that 2 more metrics are left out.
    """
    shown = [f"{plain(name, _MAX_NAME)} {number(value)}" for name, value in list(values.items())[:most]]
    more = len(values) - most
    return "  ".join([*shown, f"+{more}"] if more > 0 else shown)


def bar(percent: int | None, filled: str = "#", empty: str = ".") -> str:
    """Return a progress bar of ten characters, or an empty text if the percentage is None."""
    if percent is None:
        return ""
    full = BAR * max(0, min(100, percent)) // 100
    return filled * full + empty * (BAR - full)


def output(value: Any) -> str:
    """Return the value of an output on one line, cut to 200 characters. A text is not quoted, None
    becomes an empty text, and a float has at most six significant digits. Other values become JSON.
    """
    return value_text(value, _MAX_VALUE)
