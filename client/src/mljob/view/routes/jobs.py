"""``/jobs``: the list of MLJobs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ...errors import NotAllowed
from ..live_pages.jobs import LiveJobs, live_jobs
from ..pages.job_filter import TYPES, JobFilter
from ..person import Person, Reads
from ..site import Site


class JobsRoutes:
    """The routes of the list of MLJobs, and of the stream of the list's changes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes, for the view's Starlette application."""
        page, answer = self._site.page, self._site.answer
        return [Route("/jobs", page(self._jobs)), Route("/jobs/events", answer(self._changes))]

    async def _open(self, request: Request, person: Person, reads: Reads) -> LiveJobs:
        chosen = JobFilter.from_query(request.query_params)
        return await live_jobs(person, reads, chosen, self._site.renderer, self._site.rows)

    async def _jobs(self, request: Request, person: Person, reads: Reads) -> Response:
        opened = await self._open(request, person, reads)
        try:
            page = await opened.page()
        except NotAllowed:
            chosen = JobFilter.from_query(request.query_params)
            if chosen.namespace or not person.default_namespace:
                raise
            # A person who may see only one namespace is redirected to it.
            person.may_list_all = False
            return RedirectResponse(f"/jobs{chosen.query(namespace=person.default_namespace)}", 303)
        namespaces = await person.namespaces()
        if namespaces and page.filter.namespace and page.filter.namespace not in namespaces:
            namespaces = [page.filter.namespace, *namespaces]
        return self._site.html(
            "jobs/page.html",
            await opened.show(),
            request,
            page=page,
            section="jobs",
            types=TYPES,
            namespaces=namespaces,
            may_see_all=person.may_list_all,
        )

    async def _changes(self, request: Request, person: Person, _: Reads) -> Response:
        return self._site.changes(person, request, lambda reads: self._open(request, person, reads))
