"""The parts that all pages of the view share: finding the person who sends a request, pages about
errors, and streams of changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from ..errors import MLJobError
from . import live
from .access import Access
from .live_pages.jobs import JobRows
from .pages.obstacles import Obstacle, loading, not_signed_in, obstacle_of
from .person import Person, Reads
from .rendering import Renderer

MAX_STREAMS: Final = 64
"""The maximum number of streams of events and of long texts that a person may have open, both
together.
"""

MAX_LAST: Final = 400
"""The maximum number of characters of the id of the last event, which a browser sends."""

LOADING_SECONDS: Final = 0.9
"""How long a page may take before the person sees that it is loading, in seconds."""

Answer = Callable[[Request, Person, Reads], Awaitable[Response]]
"""A function that answers a person's request, and reads the data for the answer with the person's
rights.
"""


class Site:
    """Makes endpoints of the view from functions that answer a person's request: finds out who
    sends a request, renders pages, shows errors as pages, and streams changes.

    Attributes:
        access: Decides which person a request comes from.
        renderer: Renders the pages.
        rows: Renders the rows of lists.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.renderer = Renderer()
        self.rows = JobRows(self.renderer)
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams of server-sent events, because the process is about to end. The browsers
        then try to connect again by themselves.
        """
        self._closing.set()

    def page(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Return the same endpoint as :meth:`Site.answer`, but with a time limit: if the given
        function takes longer than :data:`LOADING_SECONDS`, the endpoint returns
        :func:`~mljob.view.pages.obstacles.loading`, a page that loads itself again.
        """

        async def patient(request: Request, person: Person, reads: Reads) -> Response:
            try:
                async with asyncio.timeout(LOADING_SECONDS):
                    return await answer(request, person, reads)
            except TimeoutError:  # the sources go on, and the page asks again
                return self.obstacle(loading())

        return self.answer(patient)

    def answer(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint for Starlette that calls the given function, and returns the
        function's response.

        If the request does not prove who the person is, or if the function raises an
        :class:`~mljob.errors.MLJobError`, the endpoint returns a page about the problem.

        Args:
            answer: The function. Its arguments are the request, the person who sent the request,
                and a :class:`~mljob.view.person.Reads`, through which the function reads its data.
        """

        async def respond(request: Request) -> Response:
            namespace = ""
            try:
                person = await self.access.person(request)
                if person is None:
                    return self.obstacle(not_signed_in(_again(request), self.access.ways_in))
                namespace = person.default_namespace
                async with Reads(person) as reads:
                    return await answer(request, person, reads)
            except MLJobError as error:
                return self.obstacle(
                    obstacle_of(error, again=_again(request), jobs=_jobs_of(request), namespace=namespace)
                )

        return respond

    def obstacle(self, state: Obstacle) -> Response:
        """Return the page that a person sees instead of the requested data. ``state`` has the
        problem, its cause, and what the person can do.
        """
        return HTMLResponse(self.renderer.render("state.html", title=state.title, state=state), state.code)

    def html(self, template: str, shown: live.Shown, request: Request, **values: object) -> Response:
        """Return a response with a whole page. The browser then gets changes of the page from a
        stream, whose path is the page's path plus ``/events``.

        Args:
            template: The name of the page's template.
            shown: The HTML of the page's elements.
            request: The request for the page.
            values: Further variables of the template.
        """
        query = f"?{request.url.query}" if request.url.query else ""
        return HTMLResponse(
            self.renderer.render(
                template,
                title=shown.title,
                fragments=shown.parts,
                rows=[html for _, html in shown.rows],
                events=f"{request.url.path}/events{query}",
                version=shown.version,
                **values,
            )
        )

    def changes(
        self, person: Person, request: Request, open_page: Callable[[Reads], Awaitable[live.LivePage]]
    ) -> Response:
        """Return a response that streams the changes of a page as server-sent events. The stream
        ends when the browser or the view closes it, or when the page can't be shown any more. In
        the last case, the stream ends with the event ``leave``, and the browser loads the page
        again. ``open_page`` opens the page whose changes are streamed.
        """
        last = last_of(request)

        async def events() -> AsyncGenerator[bytes, None]:
            async with Reads(person) as reads:
                try:
                    async for one in live.stream(await open_page(reads), last):
                        yield one
                except MLJobError:
                    yield live.event("leave", "")  # the page, loaded again, says why

        return self.stream(person, events())

    def stream(self, person: Person, events: AsyncGenerator[bytes, None]) -> Response:
        """Return a response that streams server-sent events. If the person already has
        :data:`MAX_STREAMS` streams open, return a response with the status 429 instead. Streams of
        events and streams of long texts count together.
        """
        # Proxies such as nginx must not collect events before they pass them on.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return self._streamed(person, _until(events, self._closing), "text/event-stream", headers)

    def text(self, person: Person, text: AsyncGenerator[bytes, None]) -> Response:
        """Return a response that streams a long text, such as a log, in pieces. If the person
        already has :data:`MAX_STREAMS` streams open, return a response with the status 429 instead.
        Streams of events and streams of long texts count together.
        """
        return self._streamed(person, text, "text/plain; charset=utf-8", {})

    def _streamed(
        self, person: Person, pieces: AsyncGenerator[bytes, None], kind: str, headers: dict[str, str]
    ) -> Response:
        if person.streams >= MAX_STREAMS:
            return PlainTextResponse(f"{MAX_STREAMS} pages are open. Close some of them.", 429)

        async def counted() -> AsyncGenerator[bytes, None]:
            person.streams += 1  # so that the person's connections stay open meanwhile
            try:
                async for one in pieces:
                    yield one
            finally:
                person.streams -= 1
                await pieces.aclose()

        return StreamingResponse(counted(), media_type=kind, headers=headers)


async def _until(events: AsyncGenerator[bytes, None], closing: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """Yield the events of a stream until the stream ends, or until ``closing`` is set because the
    view closes.
    """
    end = asyncio.ensure_future(closing.wait())
    one: asyncio.Future[Any] = end
    try:
        while not closing.is_set():
            one = asyncio.ensure_future(anext(events, None))
            await asyncio.wait((one, end), return_when=asyncio.FIRST_COMPLETED)
            if not one.done() or (event := one.result()) is None:
                return
            yield event
    finally:
        # The generator can be closed only when nobody waits for its next event.
        for task in (one, end):
            task.cancel()
        await asyncio.gather(one, end, return_exceptions=True)
        await events.aclose()


def last_of(request: Request) -> str:
    """Return the id of the last server-sent event that the browser has received, from the header
    ``Last-Event-ID`` or the query parameter ``last``. Return an empty text if the request has
    neither. An id is cut to :data:`MAX_LAST` characters.
    """
    return (request.headers.get("last-event-id") or request.query_params.get("last", ""))[:MAX_LAST]


def _jobs_of(request: Request) -> str:
    namespace = request.path_params.get("namespace", "")[:63]
    return f"/jobs?{urlencode({'namespace': namespace}, errors='replace')}" if namespace else "/jobs"


def _again(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
