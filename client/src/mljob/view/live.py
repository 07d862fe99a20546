"""Updates open pages: sends the changed elements of the HTML as server-sent events.

The id of an event with changes is a hash of the page's new HTML. After a lost connection, the
browser sends the last id. If the page's HTML has another hash by then, the browser gets all
elements again.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, Protocol

from .feeds import Outage, Source

BEAT_SECONDS: Final = 15.0
"""The maximum time between two events of a stream, in seconds, so that proxies don't cut the
stream.
"""
PAUSE_SECONDS: Final = 0.1
"""The minimum time between two events of a page, in seconds. Changes in between are sent
together.
"""


@dataclass(frozen=True, eq=False)
class Shown:
    """The HTML of a live page at one moment.

    Attributes:
        title: The title of the page.
        parts: The HTML of elements that stay at their place in the page, by id.
        rows: The id and the HTML of each row of the page's list, in the order of the list.
        phases: The name and the phase of each MLJob on the page, by a unique key. A screen reader
            announces changes of the phase.
        again_after: The seconds after which the HTML changes even if the page's data stays the
            same, for example because the bars of running tasks grow. None if the HTML changes only
            with the data.
    """

    title: str
    parts: Mapping[str, str]
    rows: Sequence[tuple[str, str]] = ()
    phases: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    again_after: float | None = None

    @cached_property
    def version(self) -> str:
        """A hash of the HTML of all parts and rows."""
        digest = hashlib.blake2b(digest_size=12)
        for html in (*self.parts.values(), *(html for _, html in self.rows)):
            digest.update(html.encode())
            digest.update(b"\0")
        return digest.hexdigest()


class LivePage(Protocol):
    """A page whose HTML changes while browsers show the page. :func:`stream` sends the changes."""

    @property
    def sources(self) -> Sequence[Source]:
        """The sources of the page's data, such as the watch of an MLJob. A change of a source may
        change the HTML.
        """
        ...

    async def show(self) -> Shown:
        """Return the current HTML of the page.

        Raises:
            MLJobError: The page can't be shown any more.
        """
        ...


def event(name: str, data: object, *, id: str = "") -> bytes:  # noqa: A002 - the field's name
    """Return a server-sent event with the data as JSON. Without ``id``, the event has no id."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


BEAT: Final = b"event: beat\ndata:\n\n"
"""The event that a stream sends when nothing changes. A comment would keep the connection too, but
the page's script can't see comments.
"""


def change(before: Shown | None, now: Shown) -> dict[str, Any] | None:
    """Return the changes between two versions of a page as a JSON object: the title, the elements
    to insert or replace, the ids of the rows to remove, and the text for a screen reader. Return
    None if both versions have the same title and the same elements, in any order.

    Args:
        before: The HTML that the browser has, or None to return all elements of ``now``.
        now: The HTML that the browser should have.
    """
    old_parts = before.parts if before else {}
    old_rows = dict(before.rows) if before else {}
    put: list[tuple[str, bool, str | None]] = [
        (html, False, None) for name, html in now.parts.items() if old_parts.get(name) != html
    ]
    previous: str | None = None
    for name, html in now.rows:
        if old_rows.get(name) != html:
            put.append((html, True, previous))
        previous = name
    kept = dict(now.rows)
    drop = [name for name in old_rows if name not in kept]
    if before is None:
        return {"title": now.title, "say": "", "rows": list(kept), "drop": [], "put": put}
    if not put and not drop and before.title == now.title:
        return None
    return {"title": now.title, "say": _said(before, now), "drop": drop, "put": put}


def _said(before: Shown, now: Shown) -> str:
    changed = [
        f"{name}: {phase}."
        for key, (name, phase) in now.phases.items()
        if phase and key in before.phases and before.phases[key][1] != phase
    ]
    return " ".join(changed) if len(changed) <= 3 else f"{len(changed)} MLJobs changed their phase."


async def stream(page: LivePage, last: str) -> AsyncGenerator[bytes, None]:
    """Yield the server-sent events of a page without end: changes of the HTML, notices that the
    data may be out of date, and events that only keep the connection open. The caller must close
    the generator when the browser closes the page.

    Args:
        page: The page.
        last: The version of the page that the browser has, or an empty text if the browser has
            none.

    Raises:
        MLJobError: The page can't be shown any more.
    """
    clock = asyncio.get_running_loop().time
    reported: Outage | None = None
    seen = [source.version for source in page.sources]
    shown = await page.show()
    first = None if shown.version == last else _change_event(None, shown)
    yield first or BEAT
    while True:
        sent_at = clock()
        outage = next((source.outage for source in page.sources if source.outage), None)
        if outage != reported:
            reported = outage
            yield _upstream(outage)
        is_news = await _changed(page.sources, seen, min(BEAT_SECONDS, shown.again_after or BEAT_SECONDS))
        if is_news:
            await asyncio.sleep(max(0.0, sent_at + PAUSE_SECONDS - clock()))
        seen = [source.version for source in page.sources]
        now = await page.show()
        difference = _change_event(shown, now) if now is not shown else None
        shown = now
        if difference is not None:
            yield difference
        elif not is_news:
            yield BEAT


@lru_cache(maxsize=64)
def _change_event(before: Shown | None, now: Shown) -> bytes | None:
    found = change(before, now)
    return event("change", found, id=now.version) if found is not None else None


def _upstream(outage: Outage | None) -> bytes:
    if outage is None:
        return event("upstream", {"live": True})
    return event("upstream", {"live": False, "since": outage.since.isoformat(), "why": outage.why[:500]})


async def _changed(sources: Sequence[Source], seen: Sequence[int], seconds: float) -> bool:
    """Return True as soon as a source has another version than in ``seen``, or False after
    ``seconds``. If the number of sources has changed, return True at once.
    """
    if len(sources) != len(seen):
        return True
    if not sources:
        await asyncio.sleep(seconds)
        return False
    waits = [asyncio.ensure_future(one.changed(version)) for one, version in zip(sources, seen, strict=True)]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
