"""The sources of the live view, which shows MLJobs in a browser. A source is data that the view's
pages read and that a background task updates. A feed is a source with the objects of a Kubernetes
watch.

All open pages of a person share the person's sources. No source is shared between persons, because
the API server decides what each person may see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from ..aio.transport import AsyncTransport
from ..aio.watch import watch_objects
from ..changes import Change, ChangeKind
from ..errors import MLJobError, RunApiMissing, TooManyRequests, Unavailable
from ..retries import wait_seconds

Item = TypeVar("Item")

LINGER_SECONDS: Final = 60.0
"""How long a feed goes on after its last page was closed, in seconds, so that the next page needs
no list.
"""
REFUSAL_SECONDS: Final = 3.0
"""How long a refusal is shown before the API server is asked again, in seconds. A page that is
loading asks again within this time, and shows the refusal.
"""
MAX_FEEDS: Final = 64
"""The maximum number of feeds of a person. For a further feed, the feed that has been unused for
longest ends. If all feeds are in use, the further feed is refused.
"""
MAX_LISTS: Final = 2
"""The maximum number of first lists that run at the same time, in the whole process. A list needs
memory for a moment.
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outage:
    """Why a source may be out of date, and since when."""

    since: datetime
    why: str


class Source:
    """Data that pages read and that a background task updates.

    Attributes:
        version: A number that grows when the data or ``outage`` changes, and when the source ends.
        outage: Why the data may be out of date, or None if the data is up to date.
        refusal: The error with which the source has ended, or None.
        ended_at: When the source ended, on the clock of the event loop, or None.
    """

    def __init__(self) -> None:
        self.version = 0
        self.outage: Outage | None = None
        self.refusal: MLJobError | None = None
        self.ended_at: float | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run_safely())

    async def changed(self, seen: int) -> None:
        """Wait until ``version`` differs from ``seen``."""
        while self.version == seen:
            await self._changed.wait()

    async def aclose(self) -> None:
        """End the background task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        raise NotImplementedError

    async def _run_safely(self) -> None:
        try:
            await self._run()
        except MLJobError as error:
            self.refusal = error
        except asyncio.CancelledError:
            self.refusal = MLJobError("The view has ended this page. Load the page again.")
            raise
        except Exception as error:
            logger.exception("The view can't read %s", self)
            self.refusal = MLJobError(f"The view can't read {self}: {type(error).__name__}. Its log says more.")
        finally:
            self.ended_at = asyncio.get_running_loop().time()
            self._tell()

    def _tell(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class RepeatedSource(Source):
    """A source whose requests may fail for a while, for example while mljob-api restarts. A
    subclass implements :meth:`_read`, which is repeated with the client's usual waits until it
    succeeds.

    Attributes:
        refusal: The error of the last request, or None if the last request has succeeded or has
            begun to answer. The source has ended only if ``ended_at`` is not None.
    """

    def __init__(self) -> None:
        self._failures = 0
        super().__init__()

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
                self._answered()
                return
            except (Unavailable, TooManyRequests, RunApiMissing) as error:
                self._failures += 1
                self.refusal = error
                self._tell()
                await asyncio.sleep(wait_seconds(self._failures, error.retry_after))

    async def _read(self) -> None:
        """Read the data from the beginning. A subclass that gets data piece by piece calls
        :meth:`_answered` for each piece, and :meth:`_got_further` for each piece that no earlier
        read has got.
        """
        raise NotImplementedError

    def _got_further(self) -> None:
        """Forget the failures before, so that the next wait is short again."""
        self._failures = 0

    def _answered(self) -> None:
        if self.refusal is not None:
            self.refusal = None
            self._tell()


class Feed(Source, Generic[Item]):
    """The objects of a Kubernetes collection, such as the MLJobs of a namespace. A watch updates
    these objects.

    Attributes:
        items: The objects by name. In a feed of several namespaces, the key is ``namespace/name``.
        memberships: A number that grows when an object is added or deleted.

    Args:
        transport: Sends the requests.
        path: The path of the collection at the API server.
        convert: Converts a Kubernetes object from JSON to an item of ``items``.
        key: Returns the key of an item.
        params: The query parameters ``labelSelector`` and ``fieldSelector``, or None.
        lists: A semaphore that limits how many feeds read their first list at the same time.
            Default: no limit.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        path: str,
        convert: Callable[[dict[str, Any]], Item],
        key: Callable[[Item], str],
        params: Mapping[str, str] | None = None,
        lists: asyncio.Semaphore | None = None,
    ) -> None:
        self.items: dict[str, Item] = {}
        self.memberships = 0
        self._source = (transport, path, params)
        self._convert = convert
        self._key = key
        self._lists = lists or asyncio.Semaphore(MAX_LISTS)
        self._holds_list = False
        self._is_synced = False
        super().__init__()

    def __str__(self) -> str:
        return self._source[1]

    async def ready(self) -> None:
        """Wait until the feed has listed all objects.

        Raises:
            MLJobError: The feed has ended, for example because the API server refused a request.
        """
        while not self._is_synced and self.refusal is None:
            await self._changed.wait()
        if self.refusal is not None:
            raise self.refusal

    async def _run(self) -> None:
        transport, path, params = self._source
        await self._lists.acquire()
        self._holds_list = True
        changes = watch_objects(transport, path, self._convert, params)
        try:
            async for change in changes:
                self._take(change)
        finally:
            self._release_list()
            await changes.aclose()

    def _take(self, change: Change[Item]) -> None:
        if change.kind is ChangeKind.DISCONNECTED:
            self.outage = Outage(self.outage.since if self.outage else datetime.now(UTC), change.message)
        elif change.item is None:
            self.outage = None
            if change.kind is ChangeKind.SYNCED:
                self._release_list()
                self._is_synced = True
        elif change.kind is ChangeKind.DELETED:
            self.items.pop(self._key(change.item), None)
            self.memberships += 1
        else:
            self.items[self._key(change.item)] = change.item
            self.memberships += change.kind is ChangeKind.ADDED
        if self._is_synced:
            self._tell()

    def _release_list(self) -> None:
        if self._holds_list:
            self._holds_list = False
            self._lists.release()


class Feeds:
    """The sources that one person's open pages share.

    Args:
        transport: Sends requests as the person.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self.used_at = asyncio.get_running_loop().time()
        self._feeds: dict[tuple[str, ...], Source] = {}
        self._uses: dict[tuple[str, ...], int] = {}
        self._idle_since: dict[tuple[str, ...], float] = {}

    @property
    def is_in_use(self) -> bool:
        """Whether an open page uses a source."""
        return any(self._uses.values())

    @property
    def is_empty(self) -> bool:
        """Whether there are no feeds, because no open page of the person needs data."""
        return not self._feeds

    async def hold(self, name: tuple[str, ...], make: Callable[[], Source]) -> Source:
        """Return the source with the name ``name`` for a page. If there is no such source, or if
        the source ended with an error at least :data:`REFUSAL_SECONDS` ago, call ``make`` for a new
        source. The page must call :meth:`release` later.

        If there is no source with this name, and the person already has :data:`MAX_FEEDS` sources,
        end the source that has been unused for longest.

        Raises:
            TooManyFeeds: There is no source with this name, the person already has
                :data:`MAX_FEEDS` sources, and open pages use all of them.
        """
        if name not in self._feeds:
            await self._make_room()
        feed = self._feeds.get(name)  # another page may have made it meanwhile
        if feed is None or (feed.refusal is not None and self._is_old(feed)):
            feed = self._feeds[name] = make()
        self._uses[name] = self._uses.get(name, 0) + 1
        self._idle_since.pop(name, None)
        return feed

    def _is_old(self, refused: Source) -> bool:
        return refused.ended_at is not None and refused.ended_at <= asyncio.get_running_loop().time() - REFUSAL_SECONDS

    def release(self, name: tuple[str, ...]) -> None:
        """Record that one page no longer uses a source. :meth:`end_idle` ends the source if no page
        uses it.
        """
        self._uses[name] -= 1
        if not self._uses[name]:
            del self._uses[name]
            self._idle_since[name] = self.used_at = asyncio.get_running_loop().time()

    async def end_idle(self, seconds: float = LINGER_SECONDS) -> None:
        """End the sources that no open page has used for ``seconds``."""
        oldest = asyncio.get_running_loop().time() - seconds
        for name, since in list(self._idle_since.items()):
            # While one feed ended, a page may have begun to use the next one.
            if since <= oldest and self._idle_since.get(name) == since:
                await self._end(name)

    async def aclose(self) -> None:
        """End all sources, and close the connections."""
        for name in list(self._feeds):
            await self._end(name)
        await self.transport.aclose()

    async def _make_room(self) -> None:
        if len(self._feeds) >= MAX_FEEDS and self._idle_since:
            await self._end(min(self._idle_since, key=self._idle_since.__getitem__))
        elif len(self._feeds) >= MAX_FEEDS:
            raise TooManyFeeds(f"{MAX_FEEDS} pages with different MLJobs are open. Close some of them.")

    async def _end(self, name: tuple[str, ...]) -> None:
        self._idle_since.pop(name, None)
        feed = self._feeds.pop(name, None)
        if feed is not None:
            await feed.aclose()


class TooManyFeeds(MLJobError):
    """The error when the open pages of a person need more than :data:`MAX_FEEDS` sources."""
