"""Waiting for a condition, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.2
"""Seconds between the first questions."""
MAX_INTERVAL = 1.0
"""Seconds between questions after a long wait. Each question takes processor time from the processes that the test waits for."""


def eventually(
    question: Callable[[], T],
    what: str,
    *,
    within: float = 180.0,
    every: float = INTERVAL,
    evidence: Callable[[], object] | None = None,
) -> T:
    """Ask until the answer is true, and return the answer.

    Args:
        question: An AssertionError counts as a false answer.
        what: The awaited condition in words, for the error.
        within: Seconds until the wait fails.
        every: The least seconds between two questions. The pause grows with the wait, to a twentieth of it at most.
        evidence: Called when the wait fails; its answer becomes a part of the error.

    Raises:
        AssertionError: No answer was true in time.
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
