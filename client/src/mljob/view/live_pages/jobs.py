"""The live page with the list of MLJobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from markupsafe import Markup

from ..feeds import Source
from ..live import PAUSE_SECONDS, Shown
from ..pages.curves import sparkline
from ..pages.job_filter import JobFilter
from ..pages.jobs_page import JobsPage, jobs_page
from ..pages.marks import Mark, phase_mark
from ..pages.summary import JobSummary
from ..person import JobsFeed, Person, Reads
from ..rendering import Renderer

PARTS = {"summary": "jobs/summary.html", "empty": "jobs/empty.html", "pager": "jobs/pager.html"}


class JobRows:
    """Renders the rows of the list of MLJobs as HTML. The HTML of a :class:`JobSummary` is kept as
    long as the JobSummary exists. All persons who may see the MLJob share this HTML.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._rows: WeakKeyDictionary[JobSummary, Markup] = WeakKeyDictionary()

    def html(self, job: JobSummary, now: datetime) -> Markup:
        """Return the HTML of an MLJob's row."""
        row = self._rows.get(job)
        if row is None:
            percent = job.percent
            if percent is None:
                percent = round(100 * (job.done or 0) / job.total) if job.total else 0
            row = self._rows[job] = self._renderer.render(
                "jobs/row.html",
                job=job,
                mark=_mark(job),
                percent=percent,
                spark=sparkline(job.trend),
                now=now,
            )
        return row


def _mark(job: JobSummary) -> Mark:
    return phase_mark(job.phase, retry_waits=job.retry_waits)


class SharedList(Source):
    """The content and the HTML of one page of the list of MLJobs. All windows of a person with the
    same page and the same filter share this object.

    Attributes:
        page: The current content of the page, or None until the MLJobs have been listed.
        shown: The current HTML of the page, or None until the MLJobs have been listed.
    """

    def __init__(
        self, feed: JobsFeed, chosen: JobFilter, renderer: Renderer, rows: JobRows, *, may_see_all: bool
    ) -> None:
        self.page: JobsPage | None = None
        self.shown: Shown | None = None
        self._feed = feed
        self._filter = chosen
        self._renderer = renderer
        self._rows = rows
        self._may_see_all = may_see_all
        super().__init__()

    def __str__(self) -> str:
        return f"the list of {self._feed}"

    async def ready(self) -> tuple[JobsPage, Shown]:
        """Wait until the MLJobs have been listed, and return the content and the HTML of the list.

        Raises:
            MLJobError: The API server refused a request or did not answer, or the view has closed
                this list.
        """
        while self.refusal is None and (self.page is None or self.shown is None):
            await self.changed(self.version)
        if self.refusal is not None:
            raise self.refusal
        assert self.page is not None
        assert self.shown is not None
        return self.page, self.shown

    async def _run(self) -> None:
        await self._feed.ready()
        while True:
            seen = self._feed.version
            self.outage = self._feed.outage
            self.page, self.shown = self._made()
            self._tell()
            await asyncio.sleep(PAUSE_SECONDS)
            await self._feed.changed(seen)
            await self._feed.ready()  # raises if the watch was refused

    def _made(self) -> tuple[JobsPage, Shown]:
        now = datetime.now(UTC)
        page = jobs_page(self._feed.newest_first(), self._filter)
        return page, Shown(
            title="Jobs",
            parts=self._renderer.fragments(PARTS, page=page, now=now, may_see_all=self._may_see_all),
            rows=[(f"job-{job.uid}", self._rows.html(job, now)) for job in page.rows],
            phases={job.uid: (job.name, _mark(job).word) for job in page.rows},
        )


class LiveJobs:
    """The list of MLJobs in one browser window. The content and the HTML come from a
    :class:`SharedList`.
    """

    def __init__(self, shared: SharedList) -> None:
        self._shared = shared

    @property
    def sources(self) -> list[Source]:
        """The sources that the page reads: only the :class:`SharedList`."""
        return [self._shared]

    async def page(self) -> JobsPage:
        """Return the current content of the list."""
        page, _ = await self._shared.ready()
        return page

    async def show(self) -> Shown:
        """Return the current HTML of the list."""
        _, shown = await self._shared.ready()
        return shown


async def live_jobs(person: Person, reads: Reads, chosen: JobFilter, renderer: Renderer, rows: JobRows) -> LiveJobs:
    """Return the live page with the MLJobs that match a filter."""
    feed = await reads.jobs(chosen.namespace)
    name = (chosen.namespace, chosen.query(page=chosen.page), str(person.may_list_all))
    shared = await reads.shared(name, lambda: SharedList(feed, chosen, renderer, rows, may_see_all=person.may_list_all))
    return LiveJobs(shared)
