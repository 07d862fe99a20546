from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

INTERVAL = 0.2
"""Seconds between the first calls of the question."""
INTERVAL_IN_PROCESS = 0.005
"""Seconds between the first calls of a question about the test's own process. Such a question costs
next to no processor time.
"""
MAX_INTERVAL = 1.0
"""The maximum number of seconds between two calls of the question, after a long wait.

A question takes processor time from the processes that the test waits for.
"""


def eventually(
    question: Callable[[], T | None],
    what: str,
    *,
    within: float = 180.0,
    every: float = INTERVAL,
    evidence: Callable[[], object] | None = None,
) -> T:
    """Call ``question`` until its answer is true, and return the answer.

    Args:
        question: Returns the answer. An AssertionError counts as a false answer.
        what: The awaited condition in words, for the error.
        within: Seconds until the wait fails.
        every: The shortest pause between two calls, in seconds.
        evidence: Returns a text for the end of the error's message.

    Raises:
        AssertionError: No answer was true in time.
    """
    wait = _Wait(question, what, within, every, evidence)
    while not (answer := wait.ask()):
        time.sleep(wait.pause)
    return answer


async def until(
    question: Callable[[], T | None],
    what: str = "the condition holds",
    *,
    within: float = 60.0,
    evidence: Callable[[], object] | None = None,
) -> T:
    """Do the same as :func:`eventually` without blocking the event loop."""
    wait = _Wait(question, what, within, INTERVAL_IN_PROCESS, evidence)
    while not (answer := wait.ask()):  # noqa: ASYNC110 - the question may be about anything, and nothing sets an Event for it
        await asyncio.sleep(wait.pause)
    return answer


class _Wait(Generic[T]):
    def __init__(
        self,
        question: Callable[[], T | None],
        what: str,
        within: float,
        every: float,
        evidence: Callable[[], object] | None,
    ) -> None:
        self._question = question
        self._what = what
        self._within = within
        self._every = every
        self._evidence = evidence
        self._since = time.monotonic()

    @property
    def pause(self) -> float:
        return max(self._every, min(MAX_INTERVAL, (time.monotonic() - self._since) / 20))

    def ask(self) -> T | None:
        complaint = ""
        answer: T | None = None
        try:
            answer = self._question()
        except AssertionError as error:
            complaint = f"\n{error}"
        if answer:
            return answer
        if time.monotonic() - self._since > self._within:
            shown = complaint or f" (the last answer: {answer!r})"
            found = f"\n{self._evidence()}" if self._evidence else ""
            raise AssertionError(f"not within {self._within:g} s: {self._what}{shown}{found}")
        return None
