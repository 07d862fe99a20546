"""The live platform page: the Airflows, the MLJobs in the phase Pending, and the findings of the
monitoring DAGs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ...aio.job import collection_path
from ...errors import MLJobError
from ...resource import MLJob
from ..feeds import Feed, Source
from ..live import Shown
from ..pages.platform_page import MONITORS, PlatformPage, platform_page
from ..pages.summary import JobSummary
from ..person import JobsFeed, Lookup, Person, Reads, settle
from ..rendering import Renderer

PARTS = {"airflows": "platform/airflows.html", "waiting": "platform/waiting.html", "findings": "platform/findings.html"}


class LivePlatform:
    """Makes the content and the HTML of one open platform page."""

    def __init__(
        self, person: Person, reads: Reads, instances: Feed[dict[str, Any]], jobs: JobsFeed, renderer: Renderer
    ) -> None:
        self._person = person
        self._reads = reads
        self._instances = instances
        self._jobs = jobs
        self._renderer = renderer

    @property
    def sources(self) -> list[Source]:
        """The sources that the page reads, such as the watch of the MLJobs."""
        return self._reads.sources

    async def page(self) -> PlatformPage:
        """Return the current content of the page. If the AirflowInstances can't be read, the
        content says why. If the report of a monitoring DAG is still being read or can't be read,
        the content lacks this report, and says so.

        Raises:
            MLJobError: The MLJobs can't be listed.
        """
        refusal = ""
        try:
            await self._instances.ready()
        except MLJobError as error:
            refusal = str(error)
        await self._jobs.ready()
        jobs = self._jobs.newest_first()
        lookups = {summary.key: await self._whole(summary) for summary in _newest_monitors(jobs)}
        await settle(lookups.values())
        monitors = [found.answer for found in lookups.values() if found.answer is not None]
        unread = {key: str(found.refusal or "") for key, found in lookups.items() if found.answer is None}
        return platform_page(self._instances.items.values(), jobs, monitors, refusal=refusal, unread=unread)

    async def show(self) -> Shown:
        """Return the current HTML of the page.

        Raises:
            MLJobError: The MLJobs can't be listed.
        """
        page = await self.page()
        return Shown("Platform", self._renderer.fragments(PARTS, page=page, now=datetime.now(UTC)))

    async def _whole(self, summary: JobSummary) -> Lookup[MLJob]:
        """Return a :class:`.Lookup` that requests the whole MLJob in the background. The report of
        a monitoring DAG is in the MLJob's outputs, which a JobSummary lacks.
        """

        async def read() -> MLJob:
            path = f"{collection_path(summary.namespace)}/{quote(summary.name, safe='')}"
            return MLJob(await self._person.transport.request("GET", path))

        metadata = {"namespace": summary.namespace, "name": summary.name, "uid": summary.uid}
        return await self._reads.look_up("report", MLJob({"metadata": metadata}), read)


def _newest_monitors(jobs: list[JobSummary]) -> list[JobSummary]:
    """Return the newest succeeded MLJob of each monitoring DAG. ``jobs`` must have the newest MLJob
    first.
    """
    found = (next((job for job in jobs if job.dag_id == dag and job.phase == "Succeeded"), None) for dag in MONITORS)
    return [job for job in found if job is not None]
