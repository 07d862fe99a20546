"""The body of an answer, which is sent piece by piece."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

WRITE_SECONDS = 60.0
"""How long a client may take for one piece, in seconds. A client that reads nothing for longer is
cut off, so that it doesn't occupy a place for ever.
"""
MAX_BYTES = 64 * 1024 * 1024
"""The maximum number of bytes of an answer."""


HEARTBEAT_SECONDS = 15.0
"""The longest time without a piece, in seconds, where the answer can have heartbeats. Proxies cut
idle connections after a minute or so.
"""
HAS_BEGUN = web.RequestKey("has_begun", bool)
"""Set in a request whose answer has begun."""


class ClientGone(Exception):
    """The client reads nothing any more."""


class Output:
    """The body of an answer. The status code 200 and the headers are sent with its first piece, so
    that an error before that still gets its own status code.

    Args:
        request: The request.
        content_type: The type of the body.
        heartbeat: What keeps an idle connection open without changing the content. Empty for a
            content that has nothing of this kind.
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
        """Whether the answer has as many bytes as an answer may have."""
        return self.size >= MAX_BYTES

    async def begin(self) -> web.StreamResponse:
        """Send the headers, unless they have been sent."""
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
        """Send a piece.

        Raises:
            ClientGone: The client is gone, or reads nothing.
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
        """Send a heartbeat, if nothing was sent for a while.

        Raises:
            ClientGone: The client is gone, or reads nothing.
        """
        if self._heartbeat and time.monotonic() - self.written_at >= HEARTBEAT_SECONDS:
            await self.write(self._heartbeat)

    async def end(self) -> web.StreamResponse:
        """End the body."""
        response = await self.begin()
        try:
            await response.write_eof()
        except ConnectionError:
            raise ClientGone from None
        return response
