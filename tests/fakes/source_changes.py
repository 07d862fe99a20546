from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from mljob_operator.ports import ConfObject

from .jobs import FakeJobs


class FakeSourceChanges:
    """Watches of the ConfigMaps and Secrets in :class:`.FakeJobs`.

    Attributes:
        watched: The objects that are being watched, one entry for each open watch.
    """

    def __init__(self, jobs: FakeJobs) -> None:
        self._jobs = jobs
        self.watched: list[ConfObject] = []

    async def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        known = (reference.kind, reference.name)
        news: asyncio.Queue[None] = asyncio.Queue()
        self._jobs.watchers.setdefault(known, []).append(news)
        self.watched.append(reference)
        try:
            if known in self._jobs.data:
                yield
            while True:
                await news.get()
                yield
        finally:
            self._jobs.watchers[known].remove(news)
            self.watched.remove(reference)
