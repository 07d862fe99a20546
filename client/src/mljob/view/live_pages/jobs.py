"""The list of MLJobs, live."""

from __future__ import annotations

from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from markupsafe import Markup

from ..live import Shown
from ..pages.curves import sparkline
from ..pages.job_filter import JobFilter
from ..pages.jobs_page import JobsPage, jobs_page
from ..pages.marks import phase_mark
from ..pages.summary import JobSummary
from ..person import JobsFeed, Person
from ..rendering import Renderer

PARTS = {"summary": "jobs/summary.html", "empty": "jobs/empty.html", "pager": "jobs/pager.html"}


class JobRows:
    """Renders rows, each state of an MLJob once for all open pages."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._rows: WeakKeyDictionary[JobSummary, Markup] = WeakKeyDictionary()

    def html(self, job: JobSummary, now: datetime) -> Markup:
        """Return the row of an MLJob."""
        row = self._rows.get(job)
        if row is None:
            percent = job.percent
            if percent is None:
                percent = round(100 * (job.done or 0) / job.total) if job.total else 0
            row = self._rows[job] = self._renderer.render(
                "jobs/row.html",
                job=job,
                mark=phase_mark(job.phase),
                percent=percent,
                spark=sparkline(job.trend),
                now=now,
            )
        return row


class LiveJobs:
    """The list for one open page.

    Attributes:
        filter: Which MLJobs it shows.
    """

    def __init__(self, person: Person, feed: JobsFeed, chosen: JobFilter, renderer: Renderer, rows: JobRows) -> None:
        self.filter = chosen
        self._person = person
        self._feed = feed
        self._renderer = renderer
        self._rows = rows

    @property
    def sources(self) -> list[JobsFeed]:
        """The MLJobs."""
        return [self._feed]

    async def page(self) -> JobsPage:
        """Return what the list shows now."""
        await self._feed.ready()
        return jobs_page(self._feed.newest_first(), self.filter)

    async def show(self) -> Shown:
        """Return the HTML of the list now."""
        return self.shown(await self.page())

    def shown(self, page: JobsPage) -> Shown:
        """Return the HTML of what the list shows."""
        now = datetime.now(UTC)
        return Shown(
            title="Jobs",
            parts=self._renderer.fragments(PARTS, page=page, now=now, may_see_all=self._person.may_list_all),
            rows=[(f"job-{job.uid}", self._rows.html(job, now)) for job in page.rows],
            phases={job.uid: (job.name, job.phase) for job in page.rows},
        )
