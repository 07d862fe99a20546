"""Warns in the task's log about progress, metrics and outputs that can't be sent.

One wrong number, such as NaN, must not fail a task that has trained for hours. So ``report()`` and
``publish_outputs()`` leave out the values that can't be sent, and warn.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from mljob_airflow.truncation import truncated

log = logging.getLogger(__name__)

MAX_WARNINGS = 50
"""The maximum number of different warnings of one process. The limit keeps the log small if a loop
uses a new name for each batch.
"""
MAX_SHOWN = 80
"""The maximum number of characters of a name or a value in a warning."""

_warned: set[tuple[str, str]] = set()


def warn(what: str, why: str, *, value: object = None) -> None:
    """Log that a value is left out.

    The message has the level WARNING, or DEBUG in these two cases:

    - The process has already logged a warning with the same ``what`` and ``why``.
    - The process has already logged ``MAX_WARNINGS`` different warnings.

    Args:
        what: The value's name, for example ``report(): metric 'loss'``.
        why: Why the value can't be sent, and what can be sent instead.
        value: The value itself, or ``None`` to show no value.
    """
    level = logging.DEBUG
    if (what, why) not in _warned and len(_warned) < MAX_WARNINGS:
        _warned.add((what, why))
        level = logging.WARNING
    given = "" if value is None else f" {shown(value)}"
    log.log(level, "%s%s is left out: %s. The task goes on.", what, given, why)


def shown(value: object) -> str:
    """Return the ``repr`` of a value, cut to 80 characters. If ``repr`` raises an exception, return
    "a" and the name of the value's class, for example ``a numpy.ndarray``.
    """
    text = f"a {kind(value)}"
    with suppress(Exception):
        text = repr(value)
    return truncated(text, MAX_SHOWN)


def kind(value: object) -> str:
    """Return the name of a value's class with its top-level package, for example ``numpy.ndarray``.
    A built-in class has no package: ``str``.
    """
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__.split('.')[0]}.{cls.__qualname__}"
