"""Puts numbers and lists into words, for the monitoring's pages and Slack messages."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration in words: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 run``, ``3 runs``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def joined(names: list[str], limit: int = 3) -> str:
    """Return the first ``limit`` names and the number of other names: ``a, b, c and 4 more``."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
