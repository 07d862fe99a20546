"""Runs the live view, a web server, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from mljob.kubeconfig import ClusterConfig
from mljob.view.server import serve_behind_proxy, serve_locally

START_SECONDS = 30


@dataclass(frozen=True)
class RunningView:
    """A live view that is running. If :func:`local_view` started the view, ``first_url`` contains
    the token that lets the browser in.
    """

    first_url: str

    @property
    def url(self) -> str:
        return f"http://{urlsplit(self.first_url).netloc}"


@contextmanager
def local_view(config: ClusterConfig) -> Iterator[RunningView]:
    with _running(lambda started: serve_locally(config, 0, started)) as view:
        yield view


@contextmanager
def view_behind_proxy(config: ClusterConfig, port: int = 0) -> Iterator[RunningView]:
    """Run the live view as in a cluster, where a proxy adds a person's Kubernetes token to each
    request. The view uses this token instead of the credentials in ``config``. Here no proxy runs,
    so the test adds the token.
    """
    with _running(lambda started: serve_behind_proxy(config, "127.0.0.1", port, frozenset(), started)) as view:
        yield view


class _Thread(threading.Thread):
    def __init__(self, serve: Callable[[Callable[[str], None]], Awaitable[None]]) -> None:
        super().__init__(daemon=True)
        self.first_url = ""
        self.is_up = threading.Event()
        self.failure: Exception | None = None
        self._serve = serve
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None

    def run(self) -> None:
        self._serving = self._loop.create_task(self._run())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.run_until_complete(self._close_connections())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self.is_up.set()

    def end(self) -> None:
        if self._serving is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._serving.cancel)
        self.join(START_SECONDS)
        assert not self.is_alive(), "the view did not end"

    async def _run(self) -> None:
        try:
            await self._serve(self._come_up)
        except OSError as error:
            self.failure = error

    async def _close_connections(self) -> None:
        """Close the connections that the server has left open. On a busy machine, an answer may
        still be under way when the server ends, and the server does not close its connection.
        """
        for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        await asyncio.sleep(0)

    def _come_up(self, url: str) -> None:
        self.first_url = url
        self.is_up.set()


@contextmanager
def _running(serve: Callable[[Callable[[str], None]], Awaitable[None]]) -> Iterator[RunningView]:
    thread = _Thread(serve)
    thread.start()
    assert thread.is_up.wait(START_SECONDS), "the view did not start"
    if thread.failure is not None:
        raise thread.failure
    try:
        yield RunningView(thread.first_url)
    finally:
        thread.end()
