"""The finished MLJobs that wait for the end of their ``ttlSecondsAfterFinished``.

The operator keeps nothing else of a finished MLJob in memory, and reads the MLJob again when the
time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...core.mljob.job import Job
from ...core.run.run_key import Key


@dataclass(frozen=True, slots=True)
class Expiry:
    """The end of a finished MLJob's time to live.

    Attributes:
        uid: The MLJob's uid.
        resource_version: The version of the MLJob that set the timer.
        timer: Wakes the MLJob's worker when the time is up.
    """

    uid: str
    resource_version: str
    timer: asyncio.TimerHandle

    def covers(self, job: Job) -> bool:
        """Whether the timer was set for this version of the MLJob, or for a later version."""
        return self.uid == job.uid and int(self.resource_version) >= int(job.resource_version)


class Expiries:
    """The expiries of all finished MLJobs that have a time to live.

    Args:
        wake: Wakes an MLJob's worker.
    """

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._expiries: dict[Key, Expiry] = {}

    @property
    def pending(self) -> Mapping[Key, Expiry]:
        """All expiries by MLJob."""
        return self._expiries

    def covers(self, job: Job) -> bool:
        """Whether there is an expiry for this version of the MLJob, or for a later one."""
        expiry = self._expiries.get(job.key)
        return expiry is not None and expiry.covers(job)

    def begin(self, seconds: float, job: Job) -> None:
        """Wake the MLJob after this many seconds."""
        self.end(job.key)
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake, job.key)
        self._expiries[job.key] = Expiry(job.uid, job.resource_version, timer)

    def end(self, key: Key, uid: str | None = None) -> bool:
        """Drop the expiry of an MLJob; whether there was one.

        Args:
            key: The MLJob.
            uid: Drop only the expiry of the MLJob with this uid; None: with any uid.
        """
        expiry = self._expiries.get(key)
        if expiry is None or uid not in (None, expiry.uid):
            return False
        expiry.timer.cancel()
        del self._expiries[key]
        return True

    def stop(self) -> None:
        """Wake no MLJob any more."""
        for expiry in self._expiries.values():
            expiry.timer.cancel()
