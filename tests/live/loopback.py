from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from devstack.ports import HOST


class QuietHandler(BaseHTTPRequestHandler):
    """A handler of HTTP requests that writes no log lines. A subclass implements ``answer``, which
    is called for each GET, POST, PUT, PATCH and DELETE request.
    """

    # An answer is two writes, and the second must not wait for the client to acknowledge the first.
    disable_nagle_algorithm = True

    def answer(self) -> None:
        raise NotImplementedError

    def _answer(self) -> None:
        self.answer()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

    def content(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(
        self, status: int, body: bytes, content_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer with the headers Date, Content-Type and Content-Length. ``headers`` has
        more headers, or other values for these three. A header with an empty value is not sent.
        """
        self.send_response_only(status)
        usual = {"Date": self.date_time_string(), "Content-Type": content_type, "Content-Length": str(len(body))}
        for name, value in (usual | dict(headers or {})).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Do nothing, so that the server writes no log lines."""


class LoopbackServer:
    """An HTTP server on loopback, with a thread for each connection.

    Args:
        handler: The class whose instances answer the requests.
        port: The port, or 0 for any free port.
        tls: The server's TLS context, or None for plain HTTP.
    """

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = _Server((HOST, port), handler)
        self._scheme = "https" if tls is not None else "http"
        if tls is not None:
            # The connection's thread makes the handshake, so a client without a handshake doesn't
            # block other clients.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://{HOST}:{self.port}"

    def start(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Accept no more connections, and free the port. Open connections stay open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore OSErrors, because clients may end their connections at any time."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
