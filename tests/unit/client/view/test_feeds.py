"""A feed is a watch of the Kubernetes API that the open pages of one user share."""

from __future__ import annotations

import asyncio

import pytest

from mljob.aio.transport import AsyncTransport
from mljob.kubeconfig import ClusterConfig
from mljob.view import feeds
from mljob.view.feeds import Feeds, Source

from .sources import SlowSource


def new_feeds() -> Feeds:
    return Feeds(AsyncTransport(ClusterConfig("http://127.0.0.1:1")))


async def test_feed_that_a_page_begins_to_use_goes_on() -> None:
    held = new_feeds()
    for name in ("one", "two"):
        await held.hold((name,), SlowSource)
        held.release((name,))

    async def open_page() -> Source:
        await asyncio.sleep(0)  # the first feed is ending now
        return await held.hold(("two",), SlowSource)

    _, source = await asyncio.gather(held.end_idle(0.0), open_page())

    assert source.refusal is None
    assert await held.hold(("two",), SlowSource) is source
    await held.aclose()


async def test_pages_that_open_at_the_same_time_share_a_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_FEEDS", 1)
    held = new_feeds()
    await held.hold(("old",), SlowSource)
    held.release(("old",))

    async def open_page() -> Source:
        return await held.hold(("new",), SlowSource)

    one, other = await asyncio.gather(open_page(), open_page())

    assert one is other
    await held.aclose()
