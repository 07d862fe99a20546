from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


MOST_TURNS = 100_000
"""The maximum number of turns of the event loop at the same virtual time. More turns mean that a task
repeats its work without a pause.
"""


class _NobodyWaits(selectors.SelectSelector):
    """A selector that moves the clock to the next timer instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for something that will never happen")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > MOST_TURNS:
            raise RuntimeError(f"time stands still: a task repeats its work at {self.now} s without a pause")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock jumps to the next timer as soon as no task can run."""

    def __init__(self) -> None:
        self._virtual = _NobodyWaits()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class VirtualClock:
    """A clock that shows ``EPOCH`` plus the loop's virtual time plus ``skew``."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = timedelta(0)

    def __call__(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time()) + self.skew
