"""Limits the requests for MLJobs that the operator has not read yet.

An event or Airflow may name an MLJob that the watch has not shown, for example because the MLJob is
new. The operator then reads the MLJob from the Kubernetes API. Anybody who may write to the topic
can send events about thousands of MLJobs that do not exist. The reads of these MLJobs must not delay
the steps and the writes of other MLJobs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from ...core.run.run_key import Key

MAX_UNDER_WAY = 16
"""The maximum number of MLJobs that are read at the same time. The client has 64 connections."""


class LookUps:
    """The MLJobs that the operator reads now, the MLJobs that wait for this, and the MLJobs that
    rest after a failed read. All methods run in the event loop's thread.

    Args:
        wake: Called with the key of an MLJob that has waited, and may be read now. The function
            calls :meth:`begin` again, or does nothing if the MLJob need not be read any more.
    """

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._under_way: set[Key] = set()
        self._waiting: OrderedDict[Key, None] = OrderedDict()
        self._resting: dict[Key, asyncio.TimerHandle] = {}

    def begin(self, key: Key) -> bool:
        """Return whether an MLJob may be read now. After the read, call :meth:`end`. If the result
        is False, ``wake`` is called later.
        """
        if key in self._resting:
            return False
        if key not in self._under_way and len(self._under_way) >= MAX_UNDER_WAY:
            self._waiting[key] = None
            return False
        self._waiting.pop(key, None)
        self._under_way.add(key)
        return True

    def end(self, key: Key) -> None:
        """End the read of an MLJob, so that the next MLJob can be read. If the MLJob is not being
        read, do nothing.
        """
        self._under_way.discard(key)
        while self._waiting and len(self._under_way) < MAX_UNDER_WAY:
            self._wake(self._waiting.popitem(last=False)[0])

    def rest(self, key: Key, seconds: float) -> None:
        """Do not read an MLJob again for ``seconds``. Then call ``wake``."""
        if key not in self._resting:
            self._resting[key] = asyncio.get_running_loop().call_later(seconds, self._end_rest, key)

    def forget(self, key: Key) -> None:
        """Call this method if the watch has shown an MLJob, so that the MLJob need not be read."""
        self._waiting.pop(key, None)
        if (timer := self._resting.pop(key, None)) is not None:
            timer.cancel()

    def stop(self) -> None:
        """Call ``wake`` no more."""
        self._waiting.clear()
        for timer in self._resting.values():
            timer.cancel()

    def _end_rest(self, key: Key) -> None:
        del self._resting[key]
        self._wake(key)
