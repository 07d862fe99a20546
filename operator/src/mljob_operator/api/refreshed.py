"""Data that is read when a caller needs the data and the last result is too old. Only one asyncio
task reads the data at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from copy import copy

from ..errors import OperatorError, backoff


class Refreshed:
    """Data that is read when a caller needs the data. A result is used for at most ``seconds``
    seconds.

    A failure is remembered for a time that grows with each failure (the backoff). During this time,
    no reading begins, and each caller immediately gets the error of the failure. :meth:`expire` can
    shorten the time for which a result is used and the time for which a failure is remembered.

    Args:
        read: Reads the data and stores the data for the callers.
        seconds: The longest time for which a result is used, in seconds.
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
        """Read the data if there is no data or the data is too old, and wait for the result. If
        another caller is reading the data already, wait for the end of that reading.

        Raises:
            OperatorError: The data can't be read, or the last failure is still remembered. Each
                caller gets its own copy of the error.
        """
        if self._task is None and self._clock() >= self._until:
            self._task = asyncio.create_task(self._run())
        if self._task is not None:
            # A caller that leaves must not end the work of the others.
            await asyncio.shield(self._task)
        if self._error is not None:
            raise copy(self._error)

    def expire(self, *, at_most_every: float) -> None:
        """Let the last result or failure expire when ``at_most_every`` seconds have passed since
        the last reading began, if this time is earlier than the normal expiry. The next call of
        :meth:`ensure` after this time reads the data again.
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
