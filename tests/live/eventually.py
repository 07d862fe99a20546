"""Waiting for what others do in their own time: on a condition, with a bound, and never for a fixed while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.2
"""Seconds between two questions at first."""
MAX_INTERVAL = 1.0
"""Seconds between two questions after a long wait: asking takes the processor from those that are waited for."""


def eventually(
    question: Callable[[], T],
    what: str,
    *,
    within: float = 180.0,
    every: float = INTERVAL,
    evidence: Callable[[], object] | None = None,
) -> T:
    """The first answer that is true; an answer that raises AssertionError counts as no.

    Args:
        what: What is waited for, for the message when it doesn't come.
        within: Seconds; they cost time only where the test fails.
        every: Seconds between two questions at least, for those that cost much. They grow with the wait, so that it takes a twentieth longer at most.
        evidence: Asked when it doesn't come: what there is instead.
    """
    since = time.monotonic()
    while True:
        complaint = ""
        answer: T | None = None
        try:
            answer = question()
        except AssertionError as error:
            complaint = f"\n{error}"
        if answer:
            return answer
        waited = time.monotonic() - since
        if waited > within:
            raise AssertionError(
                f"not within {within:g} s: {what}{complaint or f' (the last answer: {answer!r})'}"
                + (f"\n{evidence()}" if evidence else "")
            )
        time.sleep(max(every, min(MAX_INTERVAL, waited / 20)))
