"""The live page that compares MLJobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mljob_contract.history import MetricsReport

from ...errors import MLJobError
from ...resource import MLJob
from ..feeds import Feed, Source
from ..live import Shown
from ..pages.compare_page import MAX_COMPARED, ComparePage, compare_page
from ..person import Reads
from ..rendering import Renderer
from .status_reports import StatusReports


class LiveComparison:
    """Makes the content and the HTML of the page that compares MLJobs, for one browser.

    Args:
        reads: Opens the sources of the page's data, and releases the sources when the page is
            closed.
        feeds: The Kubernetes watches that provide the MLJobs, by namespace and name of the MLJob.
        by: The output or metric that orders the MLJobs. If this text is empty, the page chooses the
            output or metric.
        asked: How many MLJobs the URL names. This number may exceed the number of compared MLJobs.
        renderer: Makes the HTML.
    """

    def __init__(
        self, reads: Reads, feeds: dict[tuple[str, str], Feed[MLJob]], by: str, asked: int, renderer: Renderer
    ) -> None:
        self._reads = reads
        self._feeds = feeds
        self._by = by
        self._asked = asked
        self._renderer = renderer
        self._status_reports = {key: StatusReports() for key in feeds}

    @property
    def sources(self) -> list[Source]:
        """The sources of the page's data, such as the watches of the MLJobs."""
        return self._reads.sources

    async def page(self, now: datetime) -> ComparePage:
        """Return the current content of the page. The content also says which MLJobs can't be
        compared.
        """
        jobs: list[MLJob] = []
        missing: list[str] = []
        if self._asked > MAX_COMPARED:
            missing.append(f"The page compares {MAX_COMPARED} MLJobs. {self._asked - MAX_COMPARED} more are left out.")
        reports: dict[str, Sequence[MetricsReport]] = {}
        for (namespace, name), feed in self._feeds.items():
            try:
                await feed.ready()
            except MLJobError as error:
                missing.append(f"{namespace}/{name}: {error}")
                continue
            job = feed.items.get(name)
            if job is None:
                missing.append(f"{namespace}/{name}: there is no such MLJob. It may have been deleted.")
                continue
            jobs.append(job)
            history = await self._reads.history(job) if job.raw_status.get("dagRunId") else None
            seen = self._status_reports[namespace, name].add(job, now)
            reports[f"{namespace}/{name}"] = history.reports if history is not None and history.has_reports else seen
        return compare_page(jobs, reports, by=self._by, missing=missing)

    async def show(self) -> Shown:
        """Return a :class:`.Shown` with the current title and HTML of the page, and with the phase of
        each compared MLJob.
        """
        now = datetime.now(UTC)
        page = await self.page(now)
        parts = self._renderer.fragments({"comparison-table": "compare/table.html"}, page=page, now=now)
        parts |= self._renderer.fragments({"comparison-curves": "compare/curves.html"}, page=page, colours=page.colours)
        names = ", ".join(column.name for column in page.columns)
        return Shown(
            title=f"Compare {names}" if names else "Compare",
            parts=parts,
            phases={f"{column.namespace}/{column.name}": (column.name, column.mark.word) for column in page.columns},
        )
