"""What a task tells, and can't be told: it is left out, and the task's log names it.

A training of hours must not fail, or lose its other numbers, because one of them is NaN. So ``report()`` and ``publish_outputs()`` check each
value by itself, leave out the ones that can't be sent, and warn.
"""

from __future__ import annotations

import logging
from contextlib import suppress

log = logging.getLogger(__name__)

MAX_WARNINGS = 50
"""Different warnings of one process. A loop may make a new name for each batch."""
MAX_SHOWN = 80
"""Characters of a name or a value in a warning."""

_said: set[tuple[str, str]] = set()


def warn(what: str, why: str, *, value: object = None) -> None:
    """Write to the task's log that something is left out; the same thing for the same reason once in a process.

    Args:
        what: What it is, for example ``report(): metric 'loss'``.
        why: Why it can't be sent, and what can be.
        value: What it was this time; ``None``: it is not shown.
    """
    level = logging.DEBUG
    if (what, why) not in _said and len(_said) < MAX_WARNINGS:
        _said.add((what, why))
        level = logging.WARNING
    given = "" if value is None else f" {shown(value)}"
    log.log(level, "%s%s is left out: %s. The task goes on.", what, given, why)


def shown(value: object) -> str:
    """A name or a number as a warning shows it: its ``repr``, cut to 80 characters."""
    text = f"a {kind(value)}"
    with suppress(Exception):
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def kind(value: object) -> str:
    """The class of a value, as a person knows it: ``str``, ``numpy.ndarray``."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__.split('.')[0]}.{cls.__qualname__}"
