from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Mapping
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self
from urllib.parse import urlsplit

from devstack.ports import HOST


class HttpProxy:
    """A forward HTTP proxy on loopback that requires a user and a password. The proxy uses no DNS,
    so a test can make up host names.

    Args:
        routes: The port to connect to, by the ``host:port`` that a client requests. Requests for
            another ``host:port`` get a 502.

    Attributes:
        asked: The ``host:port`` of every request with the right login.
    """

    USER, PASSWORD = "operator", "pr0xy s3cret"

    def __init__(self, routes: Mapping[str, int]) -> None:
        self.asked: list[str] = []
        asked, login = self.asked, base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (line := self.rfile.readline()):
                    head += line
                if not head:
                    return
                if f"proxy-authorization: basic {login}".lower() not in head.decode().lower():
                    self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    return
                method, target, _ = head.split(b" ", 2)
                address = target.decode() if method == b"CONNECT" else urlsplit(target.decode()).netloc
                asked.append(address)
                if address not in routes:
                    self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                    return
                with socket.create_connection((HOST, routes[address])) as beyond:
                    if method == b"CONNECT":
                        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    else:
                        beyond.sendall(head)
                    back = threading.Thread(target=_copy, args=(beyond, self.connection), daemon=True)
                    back.start()
                    while part := self.rfile.read1():
                        beyond.sendall(part)
                    beyond.shutdown(socket.SHUT_WR)
                    back.join()

        class Server(ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                """Ignore errors, because clients may close their connections early."""

        self._server = Server((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"{HOST}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.USER}:{self.PASSWORD.replace(' ', '%20')}@{self.address}"


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
