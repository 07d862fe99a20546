"""Warns in the task's log about values that are left out.

Hours of training must not fail, or lose all numbers, because one number is NaN. So ``report()`` and
``publish_outputs()`` check each value by itself, leave out the values that can't be sent, and warn.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from mljob_airflow.truncation import truncated

log = logging.getLogger(__name__)

MAX_WARNINGS = 50
"""The maximum number of different warnings of one process. The limit is for loops that use a new
name for each batch."""
MAX_SHOWN = 80
"""The maximum number of characters of a name or a value in a warning."""

_warned: set[tuple[str, str]] = set()


def warn(what: str, why: str, *, value: object = None) -> None:
    """Log that a value is left out.

    The first message about a value and a reason is a warning. Repetitions in the same process have
    level DEBUG.

    Args:
        what: The value's name, for example ``report(): metric 'loss'``.
        why: Why the value can't be sent, and what can be sent instead.
        value: The value itself; ``None``: the log doesn't show it.
    """
    level = logging.DEBUG
    if (what, why) not in _warned and len(_warned) < MAX_WARNINGS:
        _warned.add((what, why))
        level = logging.WARNING
    given = "" if value is None else f" {shown(value)}"
    log.log(level, "%s%s is left out: %s. The task goes on.", what, given, why)


def shown(value: object) -> str:
    """A name or a value for a warning: its ``repr``, cut to 80 characters."""
    text = f"a {kind(value)}"
    with suppress(Exception):
        text = repr(value)
    return truncated(text, MAX_SHOWN)


def kind(value: object) -> str:
    """The class of a value as Python code names it, for example ``str`` or ``numpy.ndarray``."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__.split('.')[0]}.{cls.__qualname__}"
