"""Accepts TLS connections, and limits the number of open connections.

Only the front proxy of the Kubernetes API server may send requests, but every Pod can connect. If a
client does not show the front proxy's certificate, the connection is closed after at most 15
seconds (three times ``HANDSHAKE_SECONDS``), or earlier if there are too many such connections.
:class:`.Strangers` limits them, including connections whose TLS handshake has not ended. A new
connection never waits for others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from ..adapters.endpoints import listen
from .front_proxy import FrontProxy
from .strangers import Strangers

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
"""The longest time for a TLS handshake, in seconds. A client without the front proxy's certificate
then has the same time to send a request, and again the same time to read the response.
"""
FIRST_REQUEST_SECONDS = 30.0
"""The longest time from the handshake to the first request of the front proxy, in seconds."""
KEEP_ALIVE_SECONDS = 90.0
"""The longest time between two requests of a connection, in seconds. Go's HTTP client, which the
Kubernetes API server uses, closes idle connections after 90 s.
"""


class Certificate:
    """The serving certificate and its key, in two PEM files. Changed files are read again."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        self._files = cert_file, key_file
        self._context: ssl.SSLContext | None = None
        self._made_of: object = None
        self._refused: object = None

    def context(self, proxy: FrontProxy | None) -> ssl.SSLContext | None:
        """Return a TLS context for the serving certificate and the front proxy's CA.

        If the files or the CA can't be used, return the previous context. Return None if there is
        no previous context.

        Args:
            proxy: The front proxy. If None, clients are not asked for a certificate.
        """
        made_of = (self._versions(), proxy.ca if proxy is not None else None)
        if made_of in (self._made_of, self._refused):
            return self._context
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files, password=_no_password)
            if proxy is not None:
                # Clients without a certificate get an answer that says what is missing.
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(cadata=proxy.ca)
        except (OSError, ValueError) as error:
            # The files may be only partly written. The old certificate stays in use.
            log.warning("the serving certificate can't be used: %s", error)
            self._refused = made_of
            return self._context
        self._context, self._made_of = context, made_of
        return context

    def _versions(self) -> object:
        found = []
        for file in self._files:
            try:
                about = os.stat(file)
                found.append((about.st_ino, about.st_mtime_ns, about.st_size))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


def _no_password() -> str:
    # Without this function, OpenSSL would ask for the password of an encrypted key on the terminal.
    return ""


class TlsConnection:
    """A TLS connection of a client.

    Attributes:
        is_front_proxy: Whether the client has shown the front proxy's certificate.
        has_asked: An asyncio.Event that is set when the first request has arrived.
    """

    def __init__(self, *, is_front_proxy: bool) -> None:
        self.is_front_proxy = is_front_proxy
        self.has_asked = asyncio.Event()


class Watched(asyncio.Protocol):
    """Wraps aiohttp's protocol of one connection, to report the end of the connection.

    Args:
        protocol: aiohttp's protocol.

    Attributes:
        lost: An asyncio.Event that is set when the connection is closed.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self.lost = asyncio.Event()
        self.connection_made = protocol.connection_made  # type: ignore[method-assign]
        self.data_received = protocol.data_received  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        """Set ``lost``, and call ``connection_lost`` of the wrapped protocol."""
        self.lost.set()
        self._protocol.connection_lost(exc)


class Listener:
    """Accepts connections, and passes them to aiohttp.

    Args:
        server: Makes aiohttp's protocol for each connection.
        certificate: The serving certificate.
        proxy: Returns the front proxy, or None if no client may send requests.
        connections: The maximum number of open connections of the front proxy. Further connections
            of the front proxy are closed.
    """

    def __init__(
        self,
        server: web.Server,
        certificate: Certificate,
        proxy: Callable[[], FrontProxy | None],
        *,
        connections: int,
    ) -> None:
        self._server = server
        self._certificate = certificate
        self._proxy = proxy
        self._strangers = Strangers()
        self._limit = connections
        self._connections: dict[asyncio.BaseTransport, TlsConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """The number of open connections whose TLS handshake has succeeded."""
        return len(self._connections)

    def start(self, host: str, port: int) -> None:
        """Start to accept connections.

        Raises:
            CannotStart: The address can't be used.
        """
        self._socket = listen(host, port, "MLJOB_API")
        self._socket.setblocking(False)
        self._accepting = self._run(self._accept(self._socket))
        log.info("listening on %s:%d for the Kubernetes API server", host, port)

    async def refuse(self) -> None:
        """Accept no more connections. Open connections stay open."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def stop(self) -> None:
        """Accept no more connections, and close the open connections."""
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def of(self, transport: asyncio.BaseTransport | None) -> TlsConnection | None:
        """Return the :class:`TlsConnection` of a transport, or None if the connection is closed."""
        return self._connections.get(transport) if transport is not None else None

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # sock_accept returns at once while connections wait. The event loop must run other
            # tasks in between.
            await asyncio.sleep(0)
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                # The process may have too many open files for the moment.
                log.warning("a connection can't be accepted: %s", error)
                await asyncio.sleep(0.1)
                continue
            self._strangers.add(self._run(self._serve(accepted)), address[0])

    async def _serve(self, accepted: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        is_stranger = True
        transport: asyncio.Transport | None = None
        protocol = Watched(self._server())
        try:
            proxy = self._proxy()
            transport = await self._handshake(accepted, protocol, proxy)
            if transport is None:
                return
            certificate = transport.get_extra_info("peercert")
            known = TlsConnection(is_front_proxy=proxy is not None and proxy.is_shown_by(certificate))
            if known.is_front_proxy:
                if sum(each.is_front_proxy for each in self._connections.values()) >= self._limit:
                    log.warning(
                        "a connection is closed: %d are open, as many as MLJOB_API_CONNECTIONS allows", self._limit
                    )
                    return
                self._strangers.remove(task)
                is_stranger = False
            self._connections[transport] = known
            async with asyncio.timeout(HANDSHAKE_SECONDS if is_stranger else FIRST_REQUEST_SECONDS):
                await known.has_asked.wait()
            # The answer to a stranger is short, and then the connection is closed.
            async with asyncio.timeout(HANDSHAKE_SECONDS if is_stranger else None):
                await protocol.lost.wait()
        except TimeoutError:
            pass
        finally:
            if transport is not None:
                self._connections.pop(transport, None)
                # Python 3.11 can't abort a connection that was closed twice. A connection that is
                # closing ends after ssl_shutdown_timeout at the latest.
                if not transport.is_closing():
                    transport.abort()

    async def _handshake(
        self, accepted: socket.socket, protocol: Watched, proxy: FrontProxy | None
    ) -> asyncio.Transport | None:
        """Do the TLS handshake, and return the transport of the connection. Return None if the
        handshake fails, or if mljob-api has no usable serving certificate.
        """
        context = self._certificate.context(proxy)
        if context is None:
            accepted.close()
            return None
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=1.0,
            )
        except OSError as error:
            log.debug("a TLS handshake failed: %s", error)
            accepted.close()
            return None
        except BaseException:
            accepted.close()
            raise
        return transport
