"""The page ``/platform``: the state of each Airflow, the MLJobs that wait to be run (with the
reasons), and the problems that the monitoring DAGs have found.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..live_pages.platform import LivePlatform
from ..person import Person, Reads
from ..site import Site


class PlatformRoutes:
    """The routes of the platform page, and of the stream of the page's changes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes, for the view's Starlette application."""
        page, answer = self._site.page, self._site.answer
        return [Route("/platform", page(self._platform)), Route("/platform/events", answer(self._changes))]

    async def _open(self, person: Person, reads: Reads) -> LivePlatform:
        jobs = await reads.jobs("" if person.may_list_all else person.default_namespace)
        return LivePlatform(person, reads, await reads.instances(), jobs, self._site.renderer)

    async def _platform(self, request: Request, person: Person, reads: Reads) -> Response:
        shown = await (await self._open(person, reads)).show()
        return self._site.html("platform/page.html", shown, request, section="platform")

    async def _changes(self, request: Request, person: Person, _: Reads) -> Response:
        return self._site.changes(person, request, lambda reads: self._open(person, reads))
