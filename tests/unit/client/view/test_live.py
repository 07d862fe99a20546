"""The changes that the web view of MLJobs sends to the pages that are open in browsers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from mljob.errors import MLJobError, NotFound
from mljob.view import live
from mljob.view.feeds import Outage, Source
from mljob.view.live import BEAT, Shown, change, stream


def shown(*rows: str, title: str = "Jobs", **parts: str) -> Shown:
    return Shown(title, parts, [(row.partition("=")[0], row) for row in rows])


class Switch(Source):
    async def _run(self) -> None:
        await asyncio.Event().wait()

    def turn(self) -> None:
        self._tell()


class Page:
    def __init__(self, content: Shown) -> None:
        self.content: Shown | MLJobError = content
        self.source = Switch()

    @property
    def sources(self) -> Sequence[Source]:
        return [self.source]

    async def show(self) -> Shown:
        if isinstance(self.content, MLJobError):
            raise self.content
        return self.content

    def become(self, content: Shown | MLJobError) -> None:
        self.content = content
        self.source.turn()


def parsed(event: bytes) -> tuple[str, Any]:
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n") if ": " in line)
    return fields["event"], json.loads(fields["data"]) if "data" in fields else None


def test_only_what_differs_is_sent() -> None:
    found = change(shown("a=1", "b=1", summary="x", pager="y"), shown("a=1", "b=2", summary="x", pager="z"))

    assert found is not None
    assert found["put"] == [("z", False, None), ("b=2", True, "a")]
    assert found["drop"] == []


def test_new_row_says_where_it_belongs_and_a_lost_one_is_dropped() -> None:
    found = change(shown("a=1", "b=1"), shown("new=1", "a=1"))

    assert found is not None
    assert found["put"] == [("new=1", True, None)]
    assert found["drop"] == ["b"]


def test_nothing_is_sent_when_nothing_differs() -> None:
    assert change(shown("a=1", summary="x"), shown("a=1", summary="x")) is None


def test_unknown_page_gets_everything_and_the_ids_of_all_rows() -> None:
    found = change(None, shown("a=1", "b=1", summary="x"))

    assert found is not None
    assert found["rows"] == ["a", "b"]
    assert [html for html, *_ in found["put"]] == ["x", "a=1", "b=1"]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"1": ("train", "Running")}, {"1": ("train", "Failed")}, "train: Failed."),
        ({"1": ("train", "Running")}, {"1": ("train", "Running")}, ""),
        ({}, {"1": ("train", "Running")}, ""),
        ({str(n): ("t", "Running") for n in range(4)}, {str(n): ("t", "Failed") for n in range(4)}, "4 MLJobs changed their phase."),
    ],
)  # fmt: skip
def test_phases_are_said_once(before: Any, now: Any, said: str) -> None:
    found = change(Shown("t", {"a": "1"}, phases=before), Shown("t", {"a": "2"}, phases=now))

    assert found is not None
    assert found["say"] == said


async def test_browser_that_is_up_to_date_gets_no_page() -> None:
    page = Page(shown("a=1"))

    events = stream(page, shown("a=1").version)
    assert await anext(events) == BEAT

    page.become(shown("a=2"))
    name, data = parsed(await anext(events))
    assert (name, data["put"]) == ("change", [["a=2", True, None]])
    await events.aclose()
    await page.source.aclose()


async def test_browser_with_another_version_gets_the_page_with_its_version() -> None:
    page = Page(shown("a=1"))

    events = stream(page, "another version")
    first = await anext(events)

    assert f"id: {shown('a=1').version}\n".encode() in first
    assert parsed(first)[1]["rows"] == ["a"]
    await events.aclose()
    await page.source.aclose()


async def test_changes_in_a_row_are_sent_together() -> None:
    page = Page(shown("a=1"))
    events = stream(page, page.content.version if isinstance(page.content, Shown) else "")
    await anext(events)
    following = asyncio.ensure_future(anext(events))

    for number in range(50):
        page.become(shown(f"a={number}"))
        await asyncio.sleep(0)

    assert parsed(await following)[1]["put"] == [["a=49", True, None]]
    await events.aclose()
    await page.source.aclose()


async def test_silence_is_broken_by_a_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.01)
    page = Page(shown("a=1"))
    events = stream(page, shown("a=1").version)

    assert [await anext(events) for _ in range(3)] == [BEAT] * 3
    await events.aclose()
    await page.source.aclose()


async def test_lost_watch_is_told_and_its_return_too() -> None:
    page = Page(shown("a=1"))
    events = stream(page, shown("a=1").version)
    await anext(events)
    following = asyncio.ensure_future(anext(events))

    page.source.outage = Outage(datetime(2026, 1, 1, tzinfo=UTC), "no answer")
    page.source.turn()
    assert parsed(await following) == (
        "upstream",
        {"live": False, "since": "2026-01-01T00:00:00+00:00", "why": "no answer"},
    )

    following = asyncio.ensure_future(anext(events))
    page.source.outage = None
    page.source.turn()
    assert parsed(await following) == ("upstream", {"live": True})
    await events.aclose()
    await page.source.aclose()


async def test_page_that_is_gone_ends_the_stream() -> None:
    page = Page(shown("a=1"))
    events = stream(page, "")
    await anext(events)
    following = asyncio.ensure_future(anext(events))

    page.become(NotFound("deleted"))
    with pytest.raises(NotFound):
        await following
    await page.source.aclose()
