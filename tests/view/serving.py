"""A view that runs in a thread, on loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from mljob.kubeconfig import ClusterConfig
from mljob.view.server import serve_behind_proxy, serve_locally

START_SECONDS = 30


@dataclass(frozen=True)
class RunningView:
    """A view that runs.

    Attributes:
        first_url: The address that lets a browser in; behind a proxy, that of the list.
        url: The address without the token.
    """

    first_url: str

    @property
    def url(self) -> str:
        return f"http://{urlsplit(self.first_url).netloc}"


@contextmanager
def local_view(config: ClusterConfig) -> Iterator[RunningView]:
    """Run the view of a person with this kubeconfig while the block runs."""
    with _running(lambda started: serve_locally(config, 0, started)) as view:
        yield view


@contextmanager
def view_behind_proxy(config: ClusterConfig) -> Iterator[RunningView]:
    """Run the view as in a cluster: each request brings the viewer's token."""
    with _running(lambda started: serve_behind_proxy(config, "127.0.0.1", 0, frozenset(), started)) as view:
        yield view


@contextmanager
def _running(serve) -> Iterator[RunningView]:  # type: ignore[no-untyped-def]
    addresses: list[str] = []
    is_up = threading.Event()
    failures: list[BaseException] = []
    loop = asyncio.new_event_loop()

    def started(url: str) -> None:
        addresses.append(url)
        loop.call_soon(is_up.set)

    async def run() -> None:
        await serve(started)

    def work() -> None:
        asyncio.set_event_loop(loop)
        nonlocal task
        task = loop.create_task(run())
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            is_up.set()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    task: asyncio.Task[None] | None = None
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert is_up.wait(START_SECONDS), "the view did not start"
    if failures:
        raise failures[0]
    try:
        yield RunningView(addresses[0])
    finally:
        if task is not None and not task.done():
            loop.call_soon_threadsafe(task.cancel)
        thread.join(START_SECONDS)
        assert not thread.is_alive(), "the view did not end"
