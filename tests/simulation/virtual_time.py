"""An event loop without waiting: when nothing is left to do now, the clock moves on to the
next timer.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _NobodyWaits(selectors.SelectSelector):
    """A selector for an event loop in virtual time. Where a real selector would wait for the
    timeout, this one moves the loop's clock forward by the timeout at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move the clock on, and return no events, because none come from outside. Raise
        RuntimeError if there is no timer.
        """
        if timeout is None:
            raise RuntimeError("everybody waits for something that will never happen")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock jumps to the next timer as soon as no task can go on."""

    def __init__(self) -> None:
        self._virtual = _NobodyWaits()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the seconds since the loop was made."""
        return self._virtual.now


class VirtualClock:
    """The clock of one host in the simulation. It shows the event loop's virtual time, plus
    ``skew``.

    Attributes:
        skew: How far this clock is ahead of the true time. Tests set it.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = timedelta(0)

    def __call__(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time()) + self.skew
