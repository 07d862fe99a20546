"""Wakes finished MLJobs at the end of their time to live (``spec.ttlSecondsAfterFinished``).

A worker handles one MLJob. A finished MLJob that waits for the end of its time to live has no
worker, only a timer in memory. At the end of the time to live, the MLJob gets a new worker, which
reads the MLJob again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ...core.frozen import frozen
from ...core.mljob.resource.job import Job
from ...core.run.run_key import Key


@frozen
class Expiry:
    """The timer for the end of a finished MLJob's time to live.

    Attributes:
        uid: The MLJob's uid.
        resource_version: The resourceVersion of the MLJob for which the timer was set.
        timer: Wakes the MLJob when the time to live is over.
    """

    uid: str
    resource_version: str
    timer: asyncio.TimerHandle

    def covers(self, job: Job) -> bool:
        """Return whether the timer was set for this version of the MLJob or a later version."""
        return self.uid == job.uid and int(self.resource_version) >= int(job.resource_version)


class Expiries:
    """Keeps a timer for each finished MLJob that has a time to live.

    Args:
        wake: Called with the MLJob's key when the time to live is over.
    """

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._expiries: dict[Key, Expiry] = {}

    @property
    def pending(self) -> Mapping[Key, Expiry]:
        """The timers, by key of the MLJob."""
        return self._expiries

    def covers(self, job: Job) -> bool:
        """Return whether a timer was set for this version of the MLJob or a later version."""
        expiry = self._expiries.get(job.key)
        return expiry is not None and expiry.covers(job)

    def begin(self, seconds: float, job: Job) -> None:
        """Set a timer that wakes the MLJob after ``seconds``. An earlier timer of the MLJob is
        cancelled.
        """
        self.end(job.key)
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake, job.key)
        self._expiries[job.key] = Expiry(job.uid, job.resource_version, timer)

    def end(self, key: Key, uid: str | None = None) -> bool:
        """Cancel and remove the timer of an MLJob. Return whether there was such a timer.

        Args:
            key: The namespace and name of the MLJob.
            uid: Only a timer for the MLJob with this uid is cancelled. None means any uid.
        """
        expiry = self._expiries.get(key)
        if expiry is None or uid not in (None, expiry.uid):
            return False
        expiry.timer.cancel()
        del self._expiries[key]
        return True

    def stop(self) -> None:
        """Cancel all timers."""
        for expiry in self._expiries.values():
            expiry.timer.cancel()
