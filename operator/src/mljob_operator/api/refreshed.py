"""Data with a maximum age. If the data is older, the next caller reads the data again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from copy import copy

from ..errors import OperatorError, backoff


class Refreshed:
    """Reads data again if the data is too old. Callers call :meth:`ensure` before they use the
    data.

    After a failed read, :meth:`ensure` raises the same error without another read, until a backoff
    is over.

    Args:
        read: Reads and stores the data.
        seconds: The maximum age of the data, in seconds since the start of the read.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, read: Callable[[], Awaitable[object]], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._until = 0.0
        self._read_at = 0.0
        self._failures = 0
        self._error: OperatorError | None = None
        self._task: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Read the data if no data is stored yet, or if the stored data is too old. Concurrent
        callers share one read.

        Raises:
            OperatorError: The read failed, or an earlier read failed and its backoff is not over.
        """
        if self._task is None and self._clock() >= self._until:
            self._task = asyncio.create_task(self._run())
        if self._task is not None:
            # A caller that leaves must not end the work of the others.
            await asyncio.shield(self._task)
        if self._error is not None:
            raise copy(self._error)

    def expire(self, *, at_most_every: float) -> None:
        """Let :meth:`ensure` read again as soon as ``at_most_every`` seconds have passed since the
        start of the last read, even if the stored data is not too old or the backoff is not over.
        """
        self._until = min(self._until, self._read_at + at_most_every)

    async def _run(self) -> None:
        self._read_at = self._clock()
        try:
            await self._read()
        except OperatorError as error:
            self._failures += 1
            self._error = error
            self._until = self._clock() + backoff(error, self._failures)
        else:
            self._failures, self._error = 0, None
            self._until = self._read_at + self._seconds
        finally:
            self._task = None
