"""The Starlette application of the view, and the functions that serve this application. One
function serves the application to one person on the person's machine. The other function serves the
application to several people through a proxy.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ..kubeconfig import ClusterConfig
from .access import Access, LocalAccess, ProxyAccess
from .guard import PROBES, Guard
from .pages.obstacles import no_page
from .rendering import STATIC, fingerprint
from .routes.actions import ActionRoutes
from .routes.compare import CompareRoutes
from .routes.job import JobRoutes
from .routes.jobs import JobsRoutes
from .routes.platform import PlatformRoutes
from .site import Site

IDLE_SECONDS: Final = 15.0
"""The time between two checks for feeds that nobody uses any more, which are then ended, in
seconds.
"""
STOP_SECONDS: Final = 2
"""The maximum time by which open answers delay the end of the process, in seconds."""
HOST: Final = "127.0.0.1"
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_ENTRANCE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>MLJobs</title>'
    '<meta http-equiv="refresh" content="0;url=/jobs"><p><a href="/jobs">MLJobs</a></p></html>\n'
)
"""The page that leads a browser to the list."""
_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}

logger = logging.getLogger(__name__)


def application(site: Site) -> Starlette:
    """Return the Starlette application of the view: the routes of all pages, the static files and
    the health checks.

    Args:
        site: The parts that all pages share. ``site.access`` decides which persons may open the
            pages.
    """
    access = site.access

    async def home(request: Request) -> Response:
        cookie = access.first_visit(request)
        if cookie is None:
            return RedirectResponse("/jobs", 303)
        # Browsers don't send a SameSite cookie after a redirect if a file has led them here. They
        # do if a page of the view leads them on.
        response = HTMLResponse(_ENTRANCE)
        response.set_cookie(*cookie, httponly=True, samesite="strict", path="/")
        return response

    async def nothing(_: Request, __: Exception) -> Response:
        return site.obstacle(no_page("/jobs"))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tidying = asyncio.create_task(_tidy(access))
        try:
            yield
        finally:
            tidying.cancel()
            await access.aclose()

    pages = (JobsRoutes(site), ActionRoutes(site), JobRoutes(site), CompareRoutes(site), PlatformRoutes(site))
    return Starlette(
        routes=[
            Route("/", home),
            *(Route(path, _alive) for path in PROBES),
            Route("/static/{hash}/{file}", _static),
            *(route for page in pages for route in page.routes()),
        ],
        middleware=[
            Middleware(Guard, hosts=access.allowed_hosts),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=4),
        ],
        exception_handlers={404: nothing},
        lifespan=lifespan,
    )


async def serve_locally(config: ClusterConfig, port: int, started: Callable[[str], None]) -> None:
    """Serve the view on this machine, for the person who has started the view. The view runs until
    the process gets SIGINT or SIGTERM, or until the asyncio task of this call is cancelled.

    Args:
        config: The person's cluster and credentials.
        port: The port on 127.0.0.1, or 0 for any free port.
        started: Is called as soon as the server listens, with the view's URL. The URL contains a
            token, by which the view recognises the person's browser.

    Raises:
        OSError: The server can't listen on the port, for example because the port is in use.
    """
    with _listening(HOST, port) as (listener, bound):
        access = LocalAccess(config, bound)
        await _serve(Site(access), listener, lambda: started(f"http://{HOST}:{bound}/?token={access.token}"))


async def serve_behind_proxy(
    config: ClusterConfig, host: str, port: int, hosts: frozenset[str], started: Callable[[str], None]
) -> None:
    """Serve the view to people whom a proxy in front of the view has authenticated. The view runs
    until the process gets SIGINT or SIGTERM, or until the asyncio task of this call is cancelled.

    Args:
        config: The cluster. The user in ``config`` is not used: each request brings the token of
            the person who sends it.
        host: The address to listen on.
        port: The port, or 0 for any free port.
        hosts: The values of the Host header that requests may have. ``<host>:<port>`` is always
            allowed.
        started: Is called with the view's URL as soon as the server listens.

    Raises:
        OSError: The server can't listen on the address.
    """
    with _listening(host, port) as (listener, bound):
        access = ProxyAccess(config, hosts | {f"{host}:{bound}"})
        await _serve(Site(access), listener, lambda: started(f"http://{host}:{bound}/"))


@contextmanager
def _listening(host: str, port: int) -> Iterator[tuple[socket.socket, int]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # ``::`` takes IPv4 too
        listener.bind((host, port))
        listener.listen(128)
        yield listener, listener.getsockname()[1]


class _Server(uvicorn.Server):
    """The HTTP server of the view. On shutdown, the server first ends the streams of server-sent
    events, because a stream lasts as long as its page is open. Then the server waits for the other
    responses, at most 2 seconds.
    """

    def __init__(self, site: Site) -> None:
        # An access log would hold the token of the first address.
        super().__init__(
            uvicorn.Config(
                application(site),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._site = site

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.close()
        await super().shutdown(sockets)


async def _serve(site: Site, listener: socket.socket, started: Callable[[], None]) -> None:
    server = _Server(site)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    started()  # the socket takes connections from now on
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


async def _tidy(access: Access) -> None:
    while True:
        await asyncio.sleep(IDLE_SECONDS)
        try:
            await access.end_idle()
        except Exception:
            logger.exception("The view can't end what nobody uses")


async def _alive(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _static(request: Request) -> Response:
    name = request.path_params["file"]
    kind = _TYPES.get(name.rpartition(".")[2])
    path = STATIC / name
    if "/" in name or kind is None or not path.is_file() or fingerprint(name) != request.path_params["hash"]:
        return PlainTextResponse("There is no such file.", 404)
    return Response(path.read_bytes(), media_type=kind, headers=_FOREVER)
