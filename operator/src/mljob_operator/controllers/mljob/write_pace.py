"""Limits how many writes the operator sends to the Kubernetes API server at the same time. Further
writes wait in the operator's own queue (:mod:`.write_queue`).

The limit depends on how fast the API server answers, as in TCP Vegas (Brakmo and Peterson, 1995).
The fastest answer shows how long a write takes without waiting. The additional time of a slower
answer counts as waiting in the API server. From these times, the number of writes that wait in the
API server is estimated. The limit rises while fewer than 4 writes wait there, and falls while more
than 12 writes wait there.
"""

from __future__ import annotations

import math

LEAST, MOST = 12.0, 48.0
"""The smallest and the largest value of :attr:`WritePace.limit`. The client has 64 connections, and
the queue of writes may exceed the limit by a third.
"""
FEW, MANY = 4.0, 12.0
"""The intended range of the number of writes that wait in the Kubernetes API server. With fewer
waiting writes, the API server may be idle. With more, each write only waits longer.
"""
FASTEST_COUNTS = 30.0
"""The seconds after which the shortest time of an answer is measured again, because this time
depends on the size of the objects and on the load from other clients. For the measurement, the
limit goes back to ``LEAST``, so that no write waits in the Kubernetes API server. The limit grows
back within a second.
"""
LATELY = 2.0
"""The seconds over which :meth:`WritePace.load` averages."""


class WritePace:
    """Adapts the number of writes that may be under way. All times are in seconds of one clock."""

    def __init__(self) -> None:
        self._limit = LEAST
        self._fastest = float("inf")
        self._fastest_until = float("-inf")
        self._load, self._load_at = 0.0, 0.0

    @property
    def limit(self) -> int:
        """The maximum number of writes under way."""
        return int(self._limit)

    def load(self, now: float) -> float:
        """Return the average number of writes that were under way in about the last ``LATELY`` (2)
        seconds. The average is weighted: the weight of a write falls exponentially with its age.
        """
        return self._load * math.exp((self._load_at - now) / LATELY)

    def answered(self, seconds: float, now: float) -> None:
        """Adapt :attr:`limit` and :meth:`load` to the time that the Kubernetes API server took to
        answer a write. If the last reset was at least ``FASTEST_COUNTS`` (30) seconds ago, reset
        first: set the limit to ``LEAST`` (12), and forget the times of earlier answers.

        Args:
            seconds: The time from the write to the answer.
            now: The current time.
        """
        if now >= self._fastest_until:
            self._fastest, self._fastest_until = float("inf"), now + FASTEST_COUNTS
            self._limit = LEAST
        seconds = max(seconds, 1e-6)
        # By Little's law, the average number of writes under way is the sum of their times in a
        # period, divided by the period.
        self._load, self._load_at = self.load(now) + seconds / LATELY, now
        self._fastest = min(self._fastest, seconds)
        waiting = self._limit * (1 - self._fastest / seconds)
        if waiting < FEW:
            self._limit = min(MOST, self._limit + 1 / self._limit)
        elif waiting > MANY:
            self._limit = max(LEAST, self._limit - 1 / self._limit)

    def refused(self) -> None:
        """Halve the limit, but not below ``LEAST`` (12).

        Call this method after a write that the API server did not answer, or whose answer was 429
        (too many requests), a server error or unreadable.
        """
        self._limit = max(LEAST, self._limit / 2)
