"""The body of a response, which is sent in pieces."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

WRITE_SECONDS = 60.0
"""The time that a client has to receive one piece, in seconds. If the client needs longer, the
connection is closed, so that the client's request doesn't count against the limit of open requests
forever.
"""
MAX_BYTES = 64 * 1024 * 1024
"""The number of bytes after which a response ends."""


HEARTBEAT_SECONDS = 15.0
"""The longest time without a piece, in seconds, if the response can have heartbeats. Proxies close
idle connections after about a minute.
"""
HAS_BEGUN = web.RequestKey("has_begun", bool)
"""The key of a flag that is set in a request when its response has begun."""


class ClientGone(Exception):
    """The client has closed the connection or has stopped reading."""


class Output:
    """The body of a response.

    Until the headers are sent (:attr:`has_begun`), an error can still change the status code.

    Args:
        request: The request.
        content_type: The media type of the body.
        heartbeat: Bytes without a meaning, which keep an idle connection open. If empty, there are
            no heartbeats.
    """

    def __init__(self, request: web.Request, content_type: str, *, heartbeat: bytes = b"") -> None:
        self._heartbeat = heartbeat
        self._request = request
        self._content_type = content_type
        self._response: web.StreamResponse | None = None
        self.size = 0
        """The number of bytes so far."""
        self.written_at = time.monotonic()
        """The time of the last piece, on the monotonic clock in seconds."""

    @property
    def has_begun(self) -> bool:
        """Whether the headers have been sent."""
        return self._response is not None

    @property
    def is_full(self) -> bool:
        """Whether the response has reached its limit of ``MAX_BYTES`` bytes."""
        return self.size >= MAX_BYTES

    async def begin(self) -> web.StreamResponse:
        """Send the status code 200 and the headers, unless they were sent already. Return the
        response.
        """
        if self._response is None:
            response = web.StreamResponse(
                headers={
                    "Content-Type": self._content_type,
                    "Cache-Control": "no-store",
                    "X-Content-Type-Options": "nosniff",
                }
            )
            await response.prepare(self._request)
            self._response, self._request[HAS_BEGUN] = response, True
        return self._response

    async def write(self, data: bytes) -> None:
        """Send a piece of the body.

        Raises:
            ClientGone: The client has closed the connection, or has not read the piece within
                ``WRITE_SECONDS``.
        """
        response = await self.begin()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write(data)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ClientGone from None
        except ConnectionError:
            raise ClientGone from None
        self.size += len(data)
        self.written_at = time.monotonic()

    async def keep_alive(self) -> None:
        """Send a heartbeat if nothing was sent for ``HEARTBEAT_SECONDS``.

        Raises:
            ClientGone: The client has closed the connection or has stopped reading.
        """
        if self._heartbeat and time.monotonic() - self.written_at >= HEARTBEAT_SECONDS:
            await self.write(self._heartbeat)

    async def end(self) -> web.StreamResponse:
        """End the body, and return the response.

        Raises:
            ClientGone: The client has closed the connection.
        """
        response = await self.begin()
        try:
            await response.write_eof()
        except ConnectionError:
            raise ClientGone from None
        return response
