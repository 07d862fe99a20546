"""``/compare``: several MLJobs side by side."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..live_pages.compare import LiveComparison
from ..pages.compare_page import MAX_COMPARED
from ..person import Person, Reads
from ..site import Site


class CompareRoutes:
    """The routes for the page that compares MLJobs, and for the stream that sends changes of this
    page to the browser.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes, for the view's Starlette application."""
        page, answer = self._site.page, self._site.answer
        return [Route("/compare", page(self._compare)), Route("/compare/events", answer(self._changes))]

    async def _open(self, request: Request, reads: Reads) -> LiveComparison:
        keys = dict.fromkeys(request.query_params.getlist("job"))
        pairs = [(namespace, name) for namespace, _, name in (key.partition("/") for key in keys) if namespace and name]
        feeds = {pair: await reads.job(*pair) for pair in pairs[:MAX_COMPARED]}
        by = request.query_params.get("by", "")[:200]
        return LiveComparison(reads, feeds, by, len(pairs), self._site.renderer)

    async def _compare(self, request: Request, _: Person, reads: Reads) -> Response:
        shown = await (await self._open(request, reads)).show()
        return self._site.html("compare/page.html", shown, request, section="compare")

    async def _changes(self, request: Request, person: Person, _: Reads) -> Response:
        return self._site.changes(person, request, lambda reads: self._open(request, reads))
