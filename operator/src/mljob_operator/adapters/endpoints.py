"""Serves the HTTP endpoints ``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from ..errors import CannotStart

log = logging.getLogger(__name__)

EVERYWHERE = "::"


class Endpoints:
    """The HTTP server for the kubelet's probes and for Prometheus.

    Args:
        registry: The metrics of ``/metrics``.
        alive: Returns False if the kubelet should restart the container. ``/livez`` then answers
            503.
        ready: Returns whether the process is ready. If not, ``/readyz`` answers 503.
        settings: The prefix of two environment variables, for error messages. For example,
            ``MLJOB_HTTP`` stands for MLJOB_HTTP_HOST and MLJOB_HTTP_PORT.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        alive: Callable[[], bool],
        ready: Callable[[], bool],
        settings: str = "MLJOB_HTTP",
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Start the HTTP server. ``host`` and ``port`` are as for :func:`listen`.

        Raises:
            CannotStart: The server can't listen on the host and port, for example because another
                process uses the port.
        """
        listener = listen(host, port, self._settings)
        app = web.Application()
        app.router.add_get("/livez", self._probe(self._alive))
        app.router.add_get("/readyz", self._probe(self._ready))
        app.router.add_get("/metrics", make_aiohttp_handler(self._registry))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        log.info("listening on %s:%d: /livez /readyz /metrics", host, port)

    async def stop(self) -> None:
        """Stop the HTTP server."""
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    def _probe(question: Callable[[], bool]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text="ok") if question() else web.Response(status=503, text="not yet")

        return answer


def listen(host: str, port: int, settings: str) -> socket.socket:
    """Return a socket that listens on a host and port.

    Args:
        host: The IP address or the host name. ``::`` means all addresses of IPv6 and IPv4, or only
            of IPv4 on a machine without IPv6. If a host name has several addresses, the socket
            listens on the first one.
        port: The port.
        settings: The prefix of two environment variables, for error messages. For example,
            ``MLJOB_HTTP`` stands for MLJOB_HTTP_HOST and MLJOB_HTTP_PORT.

    Raises:
        CannotStart: This process can't listen on the host and port, for example because another
            process uses the port.
    """
    try:
        if host == EVERYWHERE:
            if socket.has_dualstack_ipv6():
                return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
            host = "0.0.0.0"  # noqa: S104  # as for ::
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise CannotStart(_cause(error, host, port, settings), code=2) from error


def _cause(error: OSError, host: str, port: int, settings: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{settings}_PORT: another process listens on port {port} of {host} already; set another port"
    if error.errno == errno.EACCES:
        return f"{settings}_PORT: the operator's user may not listen on port {port}; set one from 1024 on"
    reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
    return f"{settings}_HOST: the operator can't listen on {host}: {reason}"
