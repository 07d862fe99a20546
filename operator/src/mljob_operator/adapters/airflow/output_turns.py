"""The turns in which namespaces read outputs from one Airflow. A read of a run's outputs may occupy
a thread for 30 seconds. Without turns, the many runs of one namespace would delay the outputs of all
other namespaces by minutes.

Source: round robin, as in fair queuing (Nagle, RFC 970).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from ...errors import AirflowError
from .lanes import THREADS, Work

T = TypeVar("T")

SHARE = THREADS[Work.OUTPUTS] // 2
"""The number of runs of one namespace whose outputs are read at the same time. The other threads are
left to other namespaces, because a read that has begun is not interrupted for another namespace.
"""
MAX_WAIT = 30.0
"""Seconds after which a read that has no turn yet fails. The read is repeated later, and meanwhile
the MLJob's status can show the end of the run.
"""


class OutputTurns:
    """Gives turns to the reads of outputs from one Airflow. At the same time, at most ``SHARE`` (2)
    reads of a namespace have a turn, and at most 4 reads of all namespaces: the number of threads for
    outputs. All methods run in the event loop's thread.
    """

    def __init__(self) -> None:
        # Both semaphores serve their callers in order. At most SHARE reads of a namespace get as far
        # as the second semaphore, and so the namespaces take turns there.
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._threads = asyncio.Semaphore(THREADS[Work.OUTPUTS])

    async def read(self, namespace: str, read: Callable[[], Awaitable[T]]) -> T:
        """Wait for a turn, and return the result of ``read``. If the caller is cancelled during the
        read, the turn lasts until the end of the read, because the read still occupies a thread.

        Args:
            namespace: The namespace of the MLJob whose outputs are read.
            read: Reads the outputs in a thread.

        Raises:
            AirflowError: The read got no turn within ``MAX_WAIT`` (30 seconds).
            Exception: ``read`` raised this error.
        """
        share = self._shares.setdefault(namespace, asyncio.Semaphore(SHARE))
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._begin(share)
        except TimeoutError:
            raise AirflowError(
                f"The operator is reading the outputs of other runs, and has not come to this run within {MAX_WAIT:.0f} s."
            ) from None
        reading = asyncio.ensure_future(read())

        def end(_: asyncio.Future[Any]) -> None:
            self._threads.release()
            share.release()
            if not reading.cancelled():
                # Nobody else looks at the error of a read whose caller was cancelled.
                reading.exception()

        reading.add_done_callback(end)
        return await asyncio.shield(reading)

    async def _begin(self, share: asyncio.Semaphore) -> None:
        await share.acquire()
        try:
            await self._threads.acquire()
        except asyncio.CancelledError:
            share.release()
            raise
