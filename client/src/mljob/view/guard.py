"""A middleware that refuses requests for unknown hosts, and adds security headers to every answer."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Only the view's own files may run or load. Inline scripts and styles may not."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer, browsers would send no Origin with forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
PROBES: Final = ("/livez", "/readyz")
"""The paths that the kubelet requests, with the pod's IP address as the host."""


class Guard:
    """Middleware that refuses requests for unknown hosts, and adds :data:`HEADERS` to every answer.

    Args:
        app: The application.
        hosts: The accepted values of the header Host.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request with the status 421 if its header Host is not in ``hosts``, and
        its path is not in :data:`PROBES`. Pass any other request to the application.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "private, no-store")
            await send(message)

        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if scope["path"] not in PROBES and host not in self._hosts:
            refusal = PlainTextResponse("This host is not known here. Open the address that the view has printed.", 421)
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)
