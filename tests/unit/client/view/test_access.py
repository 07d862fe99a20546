from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from mljob.kubeconfig import ClusterConfig
from mljob.view import access, server
from mljob.view.access import LocalAccess, ProxyAccess, TooManyPersons
from mljob.view.feeds import Feeds
from mljob.view.person import Person
from mljob.view.site import MAX_STREAMS, Site

from .sources import SlowSource

CONFIG = ClusterConfig("http://127.0.0.1:1", context="test")


def request(query: str = "", *, method: str = "GET", cookie: tuple[str, str] | None = None, token: str = "") -> Request:
    headers = [(b"cookie", "=".join(cookie).encode())] if cookie else []
    headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
    return Request({"type": "http", "method": method, "query_string": query.encode(), "headers": headers})


@pytest.fixture
def two_persons(monkeypatch: pytest.MonkeyPatch) -> ProxyAccess:
    monkeypatch.setattr(access, "MAX_PERSONS", 2)
    return ProxyAccess(CONFIG, frozenset())


async def person_of(view: ProxyAccess, token: str) -> Person:
    person = await view.person(request(token=token))
    assert person is not None
    return person


# --- On a person's machine ---


def test_address_lets_one_browser_in() -> None:
    view = LocalAccess(CONFIG, 8001)

    assert view.first_visit(request("token=wrong")) is None
    assert view.first_visit(request(f"token={view.token}", method="HEAD")) is None
    assert view.first_visit(request(f"token={view.token}")) is not None
    assert view.first_visit(request(f"token={view.token}")) is None


async def test_views_of_two_clusters_have_a_cookie_each() -> None:
    one, other = LocalAccess(CONFIG, 8001), LocalAccess(CONFIG, 8002)
    cookies = [view.first_visit(request(f"token={view.token}")) for view in (one, other)]

    assert cookies[0] is not None
    assert cookies[1] is not None
    assert cookies[0][0] != cookies[1][0]
    assert await one.person(request(cookie=cookies[0])) is not None
    assert await one.person(request(cookie=cookies[1])) is None


# --- Behind a proxy ---


async def test_person_with_an_open_page_is_not_displaced(two_persons: ProxyAccess) -> None:
    first, second = await person_of(two_persons, "first"), await person_of(two_persons, "second")
    first.streams = second.streams = 1

    with pytest.raises(TooManyPersons):
        await two_persons.person(request(token="stranger"))
    assert await person_of(two_persons, "first") is first

    second.streams = 0
    assert await person_of(two_persons, "third") is not second
    assert await person_of(two_persons, "first") is first


async def test_requests_of_a_new_person_that_cross_make_one_person(two_persons: ProxyAccess) -> None:
    for token in ("first", "second"):
        person = await person_of(two_persons, token)
        await person.feeds.hold(("silent",), SlowSource)
        person.feeds.release(("silent",))

    one, other = await asyncio.gather(person_of(two_persons, "third"), person_of(two_persons, "third"))

    assert one is other


async def test_person_forgotten_meanwhile_is_no_error(
    two_persons: ProxyAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("first", "second"):
        person = await person_of(two_persons, token)
        await person.feeds.hold(("silent",), SlowSource)
        person.feeds.release(("silent",))
        monkeypatch.setattr(person.feeds, "end_idle", lambda feeds=person.feeds: Feeds.end_idle(feeds, 0.0))

    await asyncio.gather(
        two_persons.end_idle(),
        person_of(two_persons, "third"),
        person_of(two_persons, "fourth"),
        two_persons.end_idle(),
    )

    assert await person_of(two_persons, "fourth") is not None


async def test_long_text_keeps_the_connections_of_its_reader(two_persons: ProxyAccess) -> None:
    async def lines() -> AsyncGenerator[bytes, None]:
        yield b"1"
        yield b"2"

    person = await person_of(two_persons, "first")
    answer = Site(two_persons).text(person, lines())
    assert isinstance(answer, StreamingResponse)
    pieces = aiter(answer.body_iterator)
    assert await anext(pieces) == b"1"

    await two_persons.end_idle()
    assert await person_of(two_persons, "first") is person, "the text is still being read"

    assert [piece async for piece in pieces] == [b"2"]
    await two_persons.end_idle()
    assert await person_of(two_persons, "first") is not person


async def test_person_has_a_bounded_number_of_texts_open(two_persons: ProxyAccess) -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        yield b""

    person = await person_of(two_persons, "first")
    person.streams = MAX_STREAMS

    assert Site(two_persons).text(person, nothing()).status_code == 429


async def test_failure_while_tidying_does_not_end_the_tidying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.0)
    calls: list[int] = []
    again = asyncio.Event()

    class Broken(LocalAccess):
        async def end_idle(self) -> None:
            calls.append(1)
            if len(calls) == 1:
                raise KeyError("gone")
            again.set()

    tidying = asyncio.create_task(server._tidy(Broken(CONFIG, 8001)))
    async with asyncio.timeout(180):
        await again.wait()
    tidying.cancel()
