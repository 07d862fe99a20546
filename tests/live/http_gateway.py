"""An HTTP gateway in front of a real service, which passes everything on, or answers by itself as gateways do that have lost the service."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass

import urllib3

from devstack.ports import HOST

KEPT = ("authorization", "content-type", "accept")
"""Headers of a request that are passed on."""


@dataclass(frozen=True)
class Answer:
    """What the gateway says instead of the service."""

    status: int
    body: bytes
    content_type: str


NOT_FOUND = Answer(404, b"404 page not found\n", "text/plain")
"""As Traefik and Go's own servers answer while they have no backend for a path."""
EMPTY_OBJECT = Answer(200, b"{}", "application/json")


class HttpGateway:
    """A port that leads to the host and port of a URL, while the block runs.

    Args:
        target: The URL that it leads to.
        answer: What it says instead, from the beginning.

    Attributes:
        target: As above; from a change on it leads to another service.
        instead: What it says instead; None: it passes everything on.
    """

    def __init__(self, target: str, answer: Answer | None = None) -> None:
        self.target = target
        self.instead = answer
        self._http = urllib3.PoolManager(retries=False, timeout=30)
        self._server = http.server.ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self) -> HttpGateway:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.clear()

    @property
    def url(self) -> str:
        """Its own URL."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """The service's answer."""
        answer = self._http.request(method, self.target.rstrip("/") + path, headers=headers, body=body, redirect=False)
        return Answer(answer.status, answer.data, answer.headers.get("content-type", ""))


def _handler(gateway: HttpGateway) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() in KEPT}
            answer = gateway.instead or gateway.pass_on(self.command, self.path, headers, body)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815  # http.server's names

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler
