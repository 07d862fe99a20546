from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from devstack.ports import HOST

CHUNK = 65_536
TICK = 0.2
"""Seconds until an open connection notices a cut."""


class TcpProxy:
    """A TCP proxy on loopback in front of a real service. Several proxies in front of one Airflow
    look like several Airflows.

    Args:
        target: The service's URL, which must have a port.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._cut = threading.Event()
        self._held = threading.Event()
        self._server = _Server((HOST, 0), self._handle)

    def __enter__(self) -> TcpProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return urlunsplit(self._target._replace(netloc=f"{HOST}:{self._server.server_address[1]}"))

    def cut(self) -> None:
        """Close all connections within 0.2 seconds. Until :meth:`mend`, close each new connection
        at once.
        """
        self._cut.set()

    def hold(self) -> None:
        """Until :meth:`mend`, keep connections open, but pass no data on. So the service seems to
        hang.
        """
        self._held.set()

    def mend(self) -> None:
        self._cut.clear()
        self._held.clear()

    def _handle(self, near: socket.socket) -> None:
        if self._cut.is_set():
            return
        far = socket.create_connection((self._target.hostname, self._target.port), timeout=5)
        with contextlib.closing(far), contextlib.suppress(OSError):
            to = {near: far, far: near}
            while not self._cut.is_set():
                readable, _, _ = select.select([near, far], [], [], TICK)
                if self._held.is_set():
                    self._cut.wait(TICK)
                    continue
                for one in readable:
                    data = one.recv(CHUNK)
                    if not data:
                        return
                    to[one].sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], serve: Callable[[socket.socket], None]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                serve(self.request)

        super().__init__(address, Handler)
