"""Places in an Airflow: who has one, and who is next.

An AirflowInstance with ``maxActiveRuns`` has that many. An MLJob holds one from just before its run is submitted until that run is known to be
over, or known never to have been. Those that want one stand in the order of their creation. Everything here follows from what is known of
each MLJob, so a process that has listed them all knows it as well as the one before it did.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from .job import Key

Turn = tuple[datetime, Key]
"""When an MLJob was created; in one second, namespace and name decide."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What an MLJob has, or wants, of an Airflow.

    Attributes:
        airflow: Which.
        held: Whether it has a place; otherwise it wants one.
    """

    airflow: str
    held: bool


class Places:
    """The places of all Airflows."""

    def __init__(self) -> None:
        self._claims: dict[Key, tuple[Claim, Turn]] = {}
        self._holders: dict[str, set[Key]] = defaultdict(set)
        self._queues: dict[str, list[Turn]] = defaultdict(list)
        self._called: dict[str, set[Key]] = defaultdict(set)

    def claim(self, key: Key, claim: Claim | None, created_at: datetime) -> None:
        """What an MLJob has or wants from now on; None: neither."""
        turn = (created_at, key)
        if self._claims.get(key) == (claim, turn):
            return
        self.drop(key)
        if claim is not None:
            self._claims[key] = (claim, turn)
            if claim.held:
                self._holders[claim.airflow].add(key)
            else:
                insort(self._queues[claim.airflow], turn)

    def drop(self, key: Key) -> None:
        """The MLJob neither has nor wants a place."""
        if (before := self._claims.pop(key, None)) is None:
            return
        claim, turn = before
        if claim.held:
            self._holders[claim.airflow].discard(key)
        else:
            queue = self._queues[claim.airflow]
            del queue[bisect_left(queue, turn)]

    def full(self, key: Key, created_at: datetime, airflow: str, limit: int | None) -> bool:
        """Whether there is no place for an MLJob: neither free nor left by those before it."""
        if limit is None or key in self._holders[airflow]:
            return False
        before = bisect_left(self._queues[airflow], (created_at, key))
        return len(self._holders[airflow]) + before >= limit

    def called(self, airflow: str, limit: int) -> list[Key]:
        """Those that may go now and have not been told so yet."""
        queue = self._queues[airflow]
        free = max(0, limit - len(self._holders[airflow]))
        next_ones = [key for _, key in queue[:free]]
        before, self._called[airflow] = self._called[airflow], set(next_ones)
        return [key for key in next_ones if key not in before]

    def queues(self) -> list[str]:
        """The Airflows for which somebody waits."""
        return [airflow for airflow, queue in self._queues.items() if queue]

    def holders(self, airflow: str) -> list[Key]:
        """Who has a place."""
        return sorted(self._holders[airflow])

    def waiting(self, airflow: str) -> int:
        """How many want one."""
        return len(self._queues[airflow])
