"""The routes that begin with ``/jobs/{namespace}/{name}``: the page of one MLJob, the log of a task,
and the stream of the page's changes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...aio.run_api import RunApi
from ...log_place import LogLine
from ...resource import MLJob
from ...text import clean_line
from ..live import Shown
from ..live_pages.job import LiveJob
from ..log_stream import LastLine, log_events
from ..pages.job_tab import TABS, View
from ..person import Person, Reads
from ..site import Site, last_of

JOB = "/jobs/{namespace}/{name}"


class JobRoutes:
    """The routes of an MLJob's page, of the log of a task, and of the stream of the page's changes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes, for the view's Starlette application."""
        page, answer = self._site.page, self._site.answer
        return [
            Route(JOB, page(self._job)),
            Route(f"{JOB}/events", answer(self._changes)),
            Route(f"{JOB}/log", answer(self._log)),
            Route(f"{JOB}/log.txt", answer(self._log_text)),
        ]

    async def _open(self, request: Request, person: Person, reads: Reads) -> LiveJob:
        namespace, name = request.path_params["namespace"][:63], request.path_params["name"][:253]
        feed = await reads.job(namespace, name)
        view = View.from_query(request.query_params)
        return LiveJob(person, reads, feed, (namespace, name), view, self._site.renderer)

    async def _job(self, request: Request, person: Person, reads: Reads) -> Response:
        opened = await self._open(request, person, reads)
        view = View.from_query(request.query_params)
        now = datetime.now(UTC)
        page, tail = await opened.page(now)
        shown = opened.shown(page, tail, now)
        if "panel" not in shown.parts:
            shown = Shown(shown.title, {**shown.parts, "panel": opened.panel(page, now)}, phases=shown.phases)
        return self._site.html("job/page.html", shown, request, page=page, view=view, tabs=TABS, section="jobs")

    async def _changes(self, request: Request, person: Person, _: Reads) -> Response:
        return self._site.changes(person, request, lambda reads: self._open(request, person, reads))

    async def _log(self, request: Request, person: Person, reads: Reads) -> Response:
        received = last_of(request)
        last = LastLine.parse(received)
        job = await (await self._open(request, person, reads)).job()
        lines = _lines(person, job, View.from_query(request.query_params), follow=True, after=last.after)
        restarts = bool(received) and not last.after
        return self._site.stream(person, log_events(lines, self._site.renderer, last.number, restarts=restarts))

    async def _log_text(self, request: Request, person: Person, reads: Reads) -> Response:
        job = await (await self._open(request, person, reads)).job()
        lines = _lines(person, job, View.from_query(request.query_params), follow=False)
        first = await anext(lines, None)  # a refusal shows as a page, not as a broken text

        async def text() -> AsyncGenerator[bytes, None]:
            async with aclosing(lines):
                if first is not None:
                    yield _plain(first)
                async for line in lines:
                    yield _plain(line)

        return self._site.text(person, text())


def _lines(person: Person, job: MLJob, view: View, *, follow: bool, after: str = "") -> AsyncGenerator[LogLine, None]:
    return RunApi(person.transport).log_lines(
        job,
        view.task or None,
        map_index=view.map_index if view.map_index >= 0 else None,
        try_number=view.try_number or None,
        follow=follow,
        after=after,
    )


def _plain(line: LogLine) -> bytes:
    return f"{clean_line(line.text)}\n".encode(errors="replace")
