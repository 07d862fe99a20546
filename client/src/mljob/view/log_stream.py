"""The log of a task as server-sent events: numbered lines of HTML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from ..errors import MLJobError
from ..log_place import LogLine
from .live import BEAT, BEAT_SECONDS, event
from .pages.log_text import MAX_LINE, AnsiStyle, parts_of
from .pages.outside_text import cut
from .rendering import Renderer

MAX_BATCH: Final = 200
"""The maximum number of lines in an event."""


class LastLine(NamedTuple):
    """The last line of a task's log that a browser has received. After a lost connection, the
    stream continues with the next line. Messages of mljob-api at the end don't count: mljob-api
    repeats them, and the browser replaces lines of the same number.

    Attributes:
        number: The number of the line, from 1. 0 means no line.
        after: The position in the log after the line, or an empty text for no line.
    """

    number: int = 0
    after: str = ""

    @classmethod
    def parse(cls, text: str) -> LastLine:
        """Return the LastLine for the id of a server-sent event. :func:`log_events` puts such an id
        into each event ``lines``. For any other text, return a LastLine with the number 0.
        """
        from mljob_contract.run_api import LogPosition

        number, _, after = text.partition(" ")
        try:
            LogPosition.parse(after)
        except ValueError:
            return cls()
        return cls(int(number), after) if number.isascii() and number.isdecimal() and len(number) < 10 else cls()


async def log_events(
    lines: AsyncGenerator[LogLine, None], renderer: Renderer, last: int, *, restarts: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the server-sent events of a log:

    - ``restart``: the first event if ``restarts`` is True. The browser removes all lines.
    - ``state``: the next event. Its data is a sentence.
    - ``lines``: the HTML of one or more lines. :meth:`LastLine.parse` reads the id of the event.
    - ``done``: the last event. Its data is a sentence, which says that the log has ended, or why
      the log can't be read.

    Any other event only keeps the connection open.

    Args:
        lines: The lines of the log that the browser has not received.
        renderer: Renders a line.
        last: The number of the last line that the browser has received, or 0.
        restarts: Whether the browser has received lines, and ``lines`` begins at the first line of
            the log again, because the position after the last line is not known.
    """
    from mljob_contract.run_api import LOG_NOTICE

    if restarts:
        yield event("restart", None)
    yield event("state", "Following the log." if not restarts else "Following the log, again from its first line.")
    style, number, received = AnsiStyle(), last, last
    reader = _Batches(lines)
    try:
        while True:
            batch = await reader.next()
            if batch is None:
                break
            if not batch:
                yield BEAT
                continue
            html = []
            for line in batch:
                number += 1
                if not line.text.startswith(LOG_NOTICE):
                    received = number
                parts = parts_of(line.text, style)
                html.append(renderer.render("job/log_line.html", number=number, parts=parts))
                await asyncio.sleep(0)  # others have their turn: a line may take milliseconds
            yield event("lines", html, id=f"{received} {batch[-1].after}")
        yield event("done", f"The log has ended: {number:,} lines." if number else "The log is empty.")
    except MLJobError as error:
        yield event("done", f"The log can't be read: {error}")
    finally:
        await reader.aclose()


class _Batches:
    """Groups the lines of a log into batches of at most :data:`MAX_BATCH` lines. A batch is empty
    if no line arrives within :data:`~mljob.view.live.BEAT_SECONDS`.
    """

    def __init__(self, lines: AsyncGenerator[LogLine, None]) -> None:
        self._lines = lines
        self._queue: asyncio.Queue[LogLine | None] = asyncio.Queue(MAX_BATCH)
        self._task = asyncio.create_task(self._read())
        self._closed = False

    async def next(self) -> list[LogLine] | None:
        """Return the next batch, or None at the end of the log."""
        try:
            first = await asyncio.wait_for(self._queue.get(), BEAT_SECONDS)
        except TimeoutError:
            return []
        batch = [first]
        while not self._queue.empty() and len(batch) < MAX_BATCH:
            batch.append(self._queue.get_nowait())
        if batch[-1] is not None:
            return [line for line in batch if line is not None]
        lines = [line for line in batch if line is not None]
        if lines:
            self._queue.put_nowait(None)
            return lines
        await self._task
        return None

    async def aclose(self) -> None:
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for line in self._lines:
                await self._queue.put(line._replace(text=cut(line.text, MAX_LINE)))
        finally:
            await self._lines.aclose()
            if not self._closed:
                # After aclose, nobody takes lines, so a full queue would never have room.
                await self._queue.put(None)
