"""Wakes many MLJobs in batches, so that the operator and the Kubernetes API have time for other
requests. For example, ten thousand MLJobs may wait for the outputs of one MLJob.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from ...core.run.run_key import Key

BATCH = 100
"""The maximum number of MLJobs that are woken at once. A change that concerns fewer MLJobs wakes
them without delay.
"""
PAUSE = 0.2
"""Seconds between two batches. At this pace, 500 MLJobs are woken per second. The Kubernetes API
stores fewer statuses per second.
"""


class PacedWake:
    """Wakes MLJobs in batches of at most 100 MLJobs (``BATCH``), with a pause of 0.2 seconds
    (``PAUSE``) between two batches. Callers must call the methods in the event loop's thread.

    Args:
        wake: Wakes one MLJob.
    """

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._pending: dict[Key, None] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self, keys: Iterable[Key]) -> None:
        """Wake MLJobs in the given order. If MLJobs from earlier calls still wait, the new MLJobs
        are woken after these. Otherwise, the first batch is woken at once, and the other batches
        later.
        """
        self._pending.update(dict.fromkeys(keys))
        if self.tasks:
            return
        self._wake_batch()
        if self._pending:
            self._task = asyncio.create_task(self._wake_pending(), name="paced wake")

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """A list with the asyncio task that wakes the later batches. The list is empty if all
        MLJobs were woken.
        """
        return [self._task] if self._task is not None and not self._task.done() else []

    def stop(self) -> None:
        """Stop waking MLJobs. MLJobs that were not woken yet are dropped."""
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()

    async def _wake_pending(self) -> None:
        while self._pending:
            await asyncio.sleep(PAUSE)
            self._wake_batch()

    def _wake_batch(self) -> None:
        for key in list(islice(self._pending, BATCH)):
            del self._pending[key]
            self._wake(key)
