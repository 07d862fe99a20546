"""Texts of durations and numbers, as short as a table needs them."""

from __future__ import annotations

from datetime import datetime

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: ``7s``, ``4m12s``, ``3h20m``, ``12d4h``. The
    script of the pages writes durations in the same way.
    """
    left = max(0, int(seconds))
    for index, (unit, size) in enumerate(_UNITS):
        if left >= size:
            whole, rest = divmod(left, size)
            if index + 1 == len(_UNITS):
                return f"{whole}{unit}"
            smaller, smaller_size = _UNITS[index + 1]
            return f"{whole}{unit}{rest // smaller_size}{smaller}"
    return "0s"


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from ``start`` to ``end``, at least 0, or None if a time is missing."""
    return max(0.0, (end - start).total_seconds()) if start and end else None


def number_text(value: float) -> str:
    """Return a number with four significant digits at most: ``0.3142``, ``12,400``, ``1.2e-05``."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
