"""A person who uses the view (MLJobs in a browser), and the sources that the person's pages read. A
source is data that a task in the background reads for the pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import quote
from weakref import WeakValueDictionary

from mljob_contract.history import MetricsReport, TaskChange

from ..aio.job import collection_path
from ..aio.run_api import RunApi
from ..aio.transport import AsyncTransport
from ..errors import ApiError
from ..kubeconfig import ClusterConfig
from ..resource import MLJob
from .feeds import Feed, Feeds, RepeatedSource, Source
from .pages.occurrences import KubeEvent, event_of
from .pages.outside_text import mapping_of, text_of
from .pages.summary import JobSummary, summary_of

Answer = TypeVar("Answer")
Held = TypeVar("Held", bound=Source)

MAX_POINTS: Final = 4_000
"""The maximum number of reports of metrics that are kept of a run. Of a longer run, every second
report is dropped as often as needed, so that the whole curve stays.
"""
MAX_CHANGES: Final = 20_000
"""The maximum number of state changes that are kept of a run's tasks."""
MAX_NAMESPACES: Final = 500
"""The maximum number of namespaces that the list offers."""
PATIENCE_SECONDS: Final = 0.4
"""The maximum time that a page waits for answers that are read in the background, in seconds."""
INSTANCES: Final = "/apis/mljob.dev/v1alpha1/airflowinstances"

_summaries: WeakValueDictionary[tuple[str, str], JobSummary] = WeakValueDictionary()
"""The summaries that any feed holds, by uid and resource version. Persons who may see the same
MLJob share the summary of each state, after each person's own watch has delivered that state.
"""


class JobsFeed(Feed[JobSummary]):
    """A source with summaries of the MLJobs in one namespace or in all namespaces."""

    def __init__(self, transport: AsyncTransport, namespace: str | None, lists: asyncio.Semaphore) -> None:
        self._order: tuple[int, list[str]] = (-1, [])
        super().__init__(transport, collection_path(namespace), self._summary, lambda job: job.key, lists=lists)

    def newest_first(self) -> list[JobSummary]:
        """Return the summaries of the MLJobs. The MLJob that was created last comes first."""
        memberships, order = self._order
        if memberships != self.memberships:
            order = sorted(self.items, key=lambda key: _age(self.items[key]))
            self._order = (self.memberships, order)
        return [self.items[key] for key in order]

    def _summary(self, raw: dict[str, Any]) -> JobSummary:
        metadata = mapping_of(raw.get("metadata"))
        identity = (text_of(metadata.get("uid")), text_of(metadata.get("resourceVersion")))
        known = _summaries.get(identity)
        if known is None:
            before = self.items.get(f"{metadata.get('namespace')}/{metadata.get('name')}")
            known = summary_of(raw, before if before is not None and before.uid == identity[0] else None)
            _summaries[identity] = known
        return known


def _age(job: JobSummary) -> tuple[float, str, str]:
    return (-job.created_at.timestamp() if job.created_at else 0.0, job.namespace, job.name)


class RunHistory(RepeatedSource):
    """A source with the history of one run. If reading fails, the source keeps what it has until
    the history can be read again.

    Attributes:
        changes: The first :data:`MAX_CHANGES` state changes of the run's tasks.
        reports: The metrics that the run's tasks have reported, at most :data:`MAX_POINTS` reports.
            If there are more reports, only every second report is kept, then only every fourth
            report, and so on.
    """

    def __init__(self, transport: AsyncTransport, job: MLJob) -> None:
        self.changes: list[TaskChange] = []
        self.reports: list[MetricsReport] = []
        self._transport = transport
        self._job = job
        self._every = 1
        self._skipped = 0
        self._most_entries = 0
        super().__init__()

    def __str__(self) -> str:
        return f"the history of {self._job.namespace}/{self._job.name}"

    @property
    def has_reports(self) -> bool:
        """Whether ``reports`` are the metrics of the run. If not, the history can't be read, and has
        not been read before.
        """
        return self.refusal is None or bool(self.reports)

    async def _read(self) -> None:
        number = 0
        entries = RunApi(self._transport).history(self._job, follow=True)
        try:
            async for entry in entries:
                number += 1
                if number == 1:
                    self.changes, self.reports, self._every, self._skipped = [], [], 1, 0
                self._answered()
                if number > self._most_entries:
                    self._most_entries = number
                    self._got_further()
                if isinstance(entry, TaskChange) and len(self.changes) < MAX_CHANGES:
                    self.changes.append(entry)
                elif isinstance(entry, MetricsReport):
                    self._add(entry)
                else:
                    continue
                self._tell()
        finally:
            await entries.aclose()

    def _add(self, report: MetricsReport) -> None:
        self._skipped += 1
        if self._skipped >= self._every:
            self._skipped = 0
            self.reports.append(report)
        if len(self.reports) > MAX_POINTS:
            self.reports = self.reports[::2]
            self._every *= 2


class Lookup(RepeatedSource, Generic[Answer]):
    """A source that reads an answer of the API server once, in the background. ``answer`` is None
    until the answer has been read. While the request fails, ``answer`` is None, and ``refusal`` has
    the error.
    """

    def __init__(self, name: str, read: Callable[[], Awaitable[Answer]]) -> None:
        self.answer: Answer | None = None
        self._name = name
        self._ask = read
        super().__init__()

    def __str__(self) -> str:
        return self._name

    @property
    def is_pending(self) -> bool:
        """Whether the request has neither succeeded nor failed yet."""
        return self.answer is None and self.refusal is None

    async def _read(self) -> None:
        self.answer = await self._ask()


async def settle(lookups: Iterable[Lookup[Any]]) -> None:
    """Wait until each lookup has succeeded or failed, but at most :data:`PATIENCE_SECONDS`. A
    lookup that takes longer continues. The open pages show its answer when the answer arrives.
    """
    waits = [asyncio.ensure_future(one.changed(0)) for one in lookups if one.is_pending]
    if waits:
        await asyncio.wait(waits, timeout=PATIENCE_SECONDS)
        for wait in waits:
            wait.cancel()


class Person:
    """A person who uses the view, which shows MLJobs in a browser. All open pages of the person
    share the connections to the API server, which have the person's rights. The pages also share
    sources: data that background tasks read for the pages.

    Attributes:
        default_namespace: The namespace of the person's kubeconfig context, or an empty text.
        streams: How many streams to the person's browser are open. A stream sends the changes of a
            page, the lines of a log, or a long text.
        may_list_all: Whether the view offers the person the list of the MLJobs of all namespaces.
            True until the API server refuses this list. Without a default namespace, True even
            after the refusal.

    Args:
        config: The cluster, and the person's credentials.
        secret: The key that :attr:`form_token` is derived from.
        lists: A semaphore that all persons share. The semaphore limits how many feeds of MLJobs
            read their first list at the same time. A feed is a source that a Kubernetes watch keeps
            up to date.
        transport: The connections to the API server. Default: new connections, as ``config`` says.
            Tests set another transport.
    """

    def __init__(
        self, config: ClusterConfig, secret: bytes, lists: asyncio.Semaphore, transport: AsyncTransport | None = None
    ) -> None:
        self.transport = transport or AsyncTransport(config)
        self.feeds = Feeds(self.transport)
        self.default_namespace = config.namespace if config.context else ""
        self.may_list_all = True
        self.streams = 0
        self._secret = secret
        self._lists = lists

    @property
    def is_in_use(self) -> bool:
        """Whether the person has a page or a stream open."""
        return self.feeds.is_in_use or self.streams > 0

    @property
    def form_token(self) -> str:
        """The secret value in each form that requests an action, such as a retry. The view refuses
        a form without this value, because a page of another site may have sent the form.
        """
        return hmac.new(self._secret, b"form", hashlib.sha256).hexdigest()

    def is_form_token(self, token: str) -> bool:
        """Return whether a token is the person's :attr:`form_token`."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())

    async def namespaces(self) -> list[str]:
        """Return the names of at most :data:`MAX_NAMESPACES` namespaces, sorted. Return an empty
        list if the request fails, for example because the person may not list namespaces, or if the
        answer takes longer than :data:`PATIENCE_SECONDS`.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await self.transport.request(
                    "GET", "/api/v1/namespaces", params={"limit": str(MAX_NAMESPACES)}, tries=1
                )
        except (ApiError, TimeoutError):
            return []
        items = answer.get("items")
        names = [text_of(mapping_of(mapping_of(item).get("metadata")).get("name"), 63) for item in items or ()]
        return sorted(name for name in names if name)

    async def aclose(self) -> None:
        """Stop the background tasks of all sources of the person, and close the connections."""
        await self.feeds.aclose()


class Reads:
    """The sources that one open page reads. The page opens each source by a method of this class,
    within an ``async with`` block. At the end of the block, the page stops using its sources. A
    source that no page uses ends after about a minute.

    A method that opens a source raises :class:`.TooManyFeeds` if the source does not exist yet, and
    the person's open pages already use the maximum number of sources.

    Args:
        person: The person who has opened the page.
    """

    def __init__(self, person: Person) -> None:
        self._person = person
        self._held: dict[tuple[str, ...], Source] = {}

    async def __aenter__(self) -> Reads:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in self._held:
            self._person.feeds.release(name)
        self._held.clear()

    @property
    def sources(self) -> list[Source]:
        """All sources that the page has opened."""
        return list(self._held.values())

    async def jobs(self, namespace: str) -> JobsFeed:
        """Return a feed with summaries of the MLJobs in a namespace. A feed is a source that a
        Kubernetes watch keeps up to date. An empty ``namespace`` means all namespaces.
        """
        person = self._person
        return await self._hold(
            ("jobs", namespace), lambda: JobsFeed(person.transport, namespace or None, person._lists)
        )

    async def shared(self, name: tuple[str, ...], make: Callable[[], Held]) -> Held:
        """Return the source called ``name``, which all pages of the person share. If no source has
        this name yet, ``make`` creates the source. The new source may read other sources. For
        example, the sorted list of MLJobs is a source that reads the feed of MLJobs.
        """
        return await self._hold(("shared", *name), make)

    async def job(self, namespace: str, name: str) -> Feed[MLJob]:
        """Return a feed with one MLJob. A feed is a source that a Kubernetes watch keeps up to
        date. The feed is empty if the MLJob does not exist.
        """
        return await self._hold(
            ("job", namespace, name),
            lambda: Feed(
                self._person.transport,
                collection_path(namespace),
                MLJob,
                lambda job: job.name,
                {"fieldSelector": f"metadata.name={name}"},
            ),
        )

    async def events(self, namespace: str, name: str) -> Feed[KubeEvent]:
        """Return a feed with the Kubernetes Events about MLJobs of this name. A feed is a source
        that a Kubernetes watch keeps up to date. Events about a deleted MLJob of the same name are
        included.
        """
        return await self._hold(
            ("events", namespace, name),
            lambda: Feed(
                self._person.transport,
                f"/api/v1/namespaces/{quote(namespace, safe='')}/events",
                event_of,
                lambda event: event.name,
                {"fieldSelector": f"involvedObject.kind=MLJob,involvedObject.name={name}"},
            ),
        )

    async def instances(self) -> Feed[dict[str, Any]]:
        """Return a feed with all AirflowInstances as JSON. A feed is a source that a Kubernetes
        watch keeps up to date.
        """
        return await self._hold(
            ("instances",),
            lambda: Feed(
                self._person.transport,
                INSTANCES,
                lambda raw: raw,
                lambda raw: str(mapping_of(raw.get("metadata")).get("name")),
            ),
        )

    async def history(self, job: MLJob) -> RunHistory:
        """Return a source with the history of the MLJob's current run."""
        return await self._hold(("history", *_attempt(job)), lambda: RunHistory(self._person.transport, job))

    async def look_up(self, what: str, job: MLJob, read: Callable[[], Awaitable[Answer]]) -> Lookup[Answer]:
        """Return a :class:`Lookup` about the MLJob's current attempt. Pages of the person that look
        up the same data about the same attempt share one lookup.

        Args:
            what: A name for the data that the lookup reads, such as ``log``.
            job: The MLJob.
            read: An async function that sends the request, and returns the answer.
        """
        return await self._hold((what, *_attempt(job)), lambda: Lookup(f"{what} of {job.namespace}/{job.name}", read))

    async def _hold(self, name: tuple[str, ...], make: Callable[[], Held]) -> Held:
        # The kind of a source is part of its name, so a source of this name is what ``make`` makes.
        if name not in self._held:
            self._held[name] = await self._person.feeds.hold(name, make)
        return cast("Held", self._held[name])


def _attempt(job: MLJob) -> tuple[str, ...]:
    status = job.raw_status
    run, number = text_of(status.get("dagRunId"), 300), status.get("attempts")
    return job.namespace, job.name, job.uid, run, str(number)
