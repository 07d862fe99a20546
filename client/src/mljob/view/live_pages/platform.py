"""The platform page, kept up to date while a browser shows it. The page shows the Airflows, the
MLJobs that wait, and the findings of the monitoring DAGs.
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
    """Makes the content and the HTML of the platform page, for one browser."""

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
        """The sources of the page's data, such as the list of MLJobs that a watch keeps up to date.
        When the data of a source change, the page may change.
        """
        return self._reads.sources

    async def page(self) -> PlatformPage:
        """Return the current content of the page. If the AirflowInstances can't be read, the
        content says why. A report of a monitoring DAG is left out if the report was not read yet or
        can't be read.

        Raises:
            MLJobError: The MLJobs can't be listed: the person may not list them, or the API server
                did not answer.
        """
        refusal = ""
        try:
            await self._instances.ready()
        except MLJobError as error:
            refusal = str(error)
        await self._jobs.ready()
        jobs = self._jobs.newest_first()
        reports = [await self._whole(summary) for summary in _newest_monitors(jobs)]
        await settle(reports)
        monitors = [found.answer for found in reports if found.answer is not None]
        return platform_page(self._instances.items.values(), jobs, monitors, refusal=refusal)

    async def show(self) -> Shown:
        """Return the current HTML of the page.

        Raises:
            MLJobError: The MLJobs can't be listed.
        """
        page = await self.page()
        return Shown("Platform", self._renderer.fragments(PARTS, page=page, now=datetime.now(UTC)))

    async def _whole(self, summary: JobSummary) -> Lookup[MLJob]:
        """Return a lookup (a request in the background) for the whole MLJob. ``summary`` names the
        MLJob, but lacks the MLJob's outputs.
        """

        async def read() -> MLJob:
            path = f"{collection_path(summary.namespace)}/{quote(summary.name, safe='')}"
            return MLJob(await self._person.transport.request("GET", path))

        metadata = {"namespace": summary.namespace, "name": summary.name, "uid": summary.uid}
        return await self._reads.look_up("report", MLJob({"metadata": metadata}), read)


def _newest_monitors(jobs: list[JobSummary]) -> list[JobSummary]:
    """Return the newest succeeded MLJob of each monitoring DAG
    (:data:`~mljob.view.pages.platform_page.MONITORS`). The outputs of such an MLJob can have a
    report with findings. ``jobs`` must be sorted, the newest MLJob first.
    """
    found = (next((job for job in jobs if job.dag_id == dag and job.phase == "Succeeded"), None) for dag in MONITORS)
    return [job for job in found if job is not None]
