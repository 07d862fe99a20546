"""An event loop in virtual time. When no task can run, the loop does not wait: the loop's clock
jumps to the next timer.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _NobodyWaits(selectors.SelectSelector):
    """The selector of an event loop in virtual time. A real selector waits until the next timer.
    This selector moves the loop's clock to the time of the timer, and returns at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move the clock forward by ``timeout``, and return an empty list, because the loop has no
        sockets to wait for. Raise RuntimeError if ``timeout`` is None: no timer is left, so the
        loop would wait forever.
        """
        if timeout is None:
            raise RuntimeError("everybody waits for something that will never happen")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock jumps to the next timer as soon as no task can run."""

    def __init__(self) -> None:
        self._virtual = _NobodyWaits()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the loop's virtual time: the seconds since the loop was created."""
        return self._virtual.now


class VirtualClock:
    """A clock in the simulation, for example the operators' clock. Calling the clock returns the
    current time: ``EPOCH`` plus the event loop's virtual time plus ``skew``.

    Attributes:
        skew: How far this clock is ahead of the virtual time. Negative if this clock is behind the
            virtual time. Tests set this attribute.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = timedelta(0)

    def __call__(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time()) + self.skew
