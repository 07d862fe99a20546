"""Durations, ages and times as short texts."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def duration(seconds: float | None) -> str:
    """Return a duration in at most two units, such as ``4m12s``, ``2d4h`` or ``5m``. Smaller units
    are left out. Return an empty text for None, and ``0s`` for a negative duration.
    """
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    for size, unit, smaller, smaller_unit in (
        (_YEAR, "y", _DAY, "d"),
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "m"),
        (_MINUTE, "m", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{smaller_unit}" if rest else "")
    return f"{whole}s"


def between(begin: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from ``begin`` to ``end``, or None if one of them is None."""
    return None if begin is None or end is None else (end - begin).total_seconds()


def exact(at: datetime | None) -> str:
    """Return a time in UTC and in whole seconds, such as ``2026-03-02 09:00:00Z``. Return an empty
    text for None.
    """
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
