"""Keeps facts about upstream MLJobs (the MLJobs whose outputs other MLJobs wait for), and finds the
MLJobs to wake when an upstream MLJob changes.

Each unfinished MLJob has a worker, which keeps the MLJob's state in memory. A finished upstream
MLJob has no worker, so this module keeps the facts while another MLJob waits for the outputs. The
first facts are read from the Kubernetes API. After that, the watch delivers the changes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ...core.mljob.classification.state import State
from ...core.mljob.cycle import MAX_SEARCHED
from ...core.mljob.resource.job import Job
from ...core.mljob.upstream import READ_AGAIN_AFTER, Upstream, upstream_names
from ...core.run.run_key import Key
from ...ports import Clock, JobStore


@dataclass(slots=True)
class _Known:
    """The facts about one upstream MLJob.

    Attributes:
        waiting: The keys of the MLJobs that wait for the outputs.
        upstream: The facts that the waiting MLJobs need. None if the upstream MLJob was not read
            yet, or does not exist. Exception: if the upstream MLJob had succeeded before its
            deletion, ``upstream.deleted`` is true, and the other attributes have their defaults.
        uid: The uid of the last version. Empty if no version was read.
        version: The resourceVersion of the last version, as a number. 0 if no version was read.
        known_at: When the upstream MLJob was last read from the API or delivered by the watch.
        observed: How many versions and deletions of the upstream MLJob the watch has delivered.
        reading: A lock, so that thousands of waiting MLJobs cause only one read at a time.
    """

    waiting: set[Key] = field(default_factory=set)
    upstream: Upstream | None = None
    uid: str = ""
    version: int = 0
    known_at: datetime | None = None
    observed: int = 0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, job: Job, at: datetime) -> bool:
        """Store the facts in ``job``, a version of the upstream MLJob, if this version is newer
        than the last known version. Return whether the facts have changed. The first facts count as
        a change.
        """
        if int(job.resource_version) <= self.version:
            return False
        first, before = self.known_at is None, self.upstream
        self.uid, self.version = job.uid, int(job.resource_version)
        self.upstream, self.known_at = Upstream.of(job), at
        return first or self.upstream != before

    def remove(self, at: datetime) -> bool:
        """Record that the upstream MLJob does not exist. Return whether the facts have changed. The
        first facts count as a change.
        """
        first, before = self.known_at is None, self.upstream
        had_outputs = before is not None and (before.run is not None or before.deleted)
        self.upstream, self.known_at = Upstream(deleted=True) if had_outputs else None, at
        return first or self.upstream != before


class Upstreams:
    """Keeps facts about upstream MLJobs (the MLJobs whose outputs other MLJobs wait for).

    Args:
        jobs: Reads MLJobs.
        clock: Returns the current time.
    """

    def __init__(self, jobs: JobStore, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._known: dict[Key, _Known] = {}
        self._followed: dict[Key, frozenset[Key]] = {}

    def of(self, job: Job) -> tuple[Mapping[str, Upstream | None], datetime | None]:
        """Return the known facts about the MLJobs in ``spec.confFrom`` of an MLJob. If these MLJobs
        wait for other MLJobs, also return the facts about the other MLJobs, and so on.

        Returns:
            tuple: The facts by the MLJobs' names, and the earliest of the times at which the MLJobs
                in ``spec.confFrom`` were last read or observed. The facts are None for an MLJob that
                does not exist, unless the MLJob succeeded before its deletion. An MLJob that was not
                read yet has no key. The time is None if no MLJob in ``spec.confFrom`` was read yet.
        """
        names = upstream_names(job.spec)
        if not names:
            return {}, None
        found: dict[str, Upstream | None] = {}
        pending, times = deque(names), []
        while pending and len(found) <= MAX_SEARCHED:
            name = pending.popleft()
            known = self._known.get((job.namespace, name))
            if name in found or known is None or known.known_at is None:
                continue
            found[name] = known.upstream
            if name in names:
                times.append(known.known_at)
            if known.upstream is not None:
                pending += known.upstream.waits_for
        return found, min(times, default=None)

    async def read(self, key: Key, names: Iterable[str]) -> None:
        """Read from the Kubernetes API the MLJobs for which an MLJob waits. An MLJob that was read
        or observed within the last 5 minutes (``READ_AGAIN_AFTER``) is not read again.

        Args:
            key: The key of the waiting MLJob.
            names: The names of the awaited MLJobs, which are in the same namespace.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        # This comes before the read, so that no change of an awaited MLJob during the read is missed.
        self._follow(key, self._followed.get(key, frozenset()) | {(key[0], name) for name in names})
        for name in names:
            if (known := self._known.get((key[0], name))) is not None:
                async with known.reading:
                    await self._read(known, (key[0], name))

    async def _read(self, known: _Known, key: Key) -> None:
        now = self._clock()
        if known.known_at is not None and now < known.known_at + READ_AGAIN_AFTER:
            return
        observed = known.observed
        job = await self._jobs.get(key)
        if known.observed != observed:
            # The watch has delivered a version or the deletion meanwhile. The answer may be older,
            # and if the answer is newer, the watch delivers the same soon.
            return
        if job is not None:
            known.take(job, now)
        else:
            known.remove(now)
        known.known_at = now

    def follow(self, key: Key, names: Iterable[str]) -> None:
        """Store the names of all MLJobs for which the MLJob ``key`` waits. The facts about an MLJob
        for which no MLJob waits any more are forgotten. ``names`` is empty if the MLJob ``key``
        waits for no other MLJob.
        """
        self._follow(key, frozenset((key[0], name) for name in names))

    def observe(self, job: Job) -> list[Key]:
        """Store the facts about ``job``, a version that the watch has delivered. Do nothing if no
        MLJob waits for the outputs of ``job``. Return the keys of the MLJobs to wake.
        """
        known = self._known.get(job.key)
        if known is None:
            return []
        known.observed += 1
        return sorted(known.waiting) if known.take(job, self._clock()) else []

    def observe_deletion(self, key: Key, uid: str) -> list[Key]:
        """Record the deletion of an MLJob that the watch has reported. Return the keys of the
        MLJobs to wake.
        """
        known = self._known.get(key)
        if known is None or known.uid not in (uid, ""):
            return []
        known.observed += 1
        return sorted(known.waiting) if known.remove(self._clock()) else []

    @property
    def awaited(self) -> Collection[Key]:
        """The keys of the MLJobs for which other MLJobs wait."""
        return self._known.keys()

    def _follow(self, key: Key, upstreams: frozenset[Key]) -> None:
        before = self._followed.pop(key, frozenset())
        for upstream in before - upstreams:
            self._known[upstream].waiting.discard(key)
            if not self._known[upstream].waiting:
                del self._known[upstream]
        for upstream in upstreams - before:
            self._known.setdefault(upstream, _Known()).waiting.add(key)
        if upstreams:
            self._followed[key] = upstreams


def waited_for(state: State) -> tuple[str, ...]:
    """Return the names of the MLJobs whose outputs go into the conf of an MLJob's next run. The
    result is empty if the MLJob neither starts a run now nor waits to start a run.
    """
    return state.start.needed.names if state.start is not None else ()
