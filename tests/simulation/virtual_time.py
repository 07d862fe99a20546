"""An event loop without waiting: when nothing is left to do now, the clock moves on to the
next timer.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _NobodyWaits(selectors.SelectSelector):
    """A selector that doesn't wait. It advances the clock by the timeout."""

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
    """An asyncio event loop in virtual time."""

    def __init__(self) -> None:
        self._virtual = _NobodyWaits()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the seconds since the loop was made."""
        return self._virtual.now


class VirtualClock:
    """A clock of the virtual world, which may be wrong.

    Attributes:
        skew: How far this clock is ahead of the true time.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = timedelta(0)

    def __call__(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time()) + self.skew
