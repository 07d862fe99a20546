"""Sinks for the log of one try of a task. A sink is a callable object that takes the lines of the
log and sends lines to the client: all lines, only the last lines, or all lines except those before
a given line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from mljob_contract.run_api import LOG_NOTICE, LOG_POSITION, LogPosition

MAX_TAIL_CHARACTERS = 4 * 1024 * 1024
"""The maximum number of characters that ``tail`` keeps in memory. The oldest lines are left out."""


class Sink(Protocol):
    """A function that takes the lines of a log. Each call takes the next lines."""

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Take the next lines of the log.

        Args:
            lines: The lines.
            first: The number of the first of these lines in the log of the try, from 0.
            last: Whether Airflow has no further lines at the moment.
        """
        ...


class Lines:
    """Writes to the client each line that this sink receives. If the client asks for positions,
    each unbroken sequence of lines begins with an extra line. The extra line contains the position
    of the next line. A sequence ends where lines of the log are left out.

    Args:
        start: The position of the first line of the try.
        write: Sends bytes to the client.
        positions: Whether to write positions.
    """

    def __init__(self, start: LogPosition, write: Callable[[bytes], Awaitable[None]], *, positions: bool) -> None:
        self._start = start
        self._write = write
        self._positions = positions
        self._next: int | None = None

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Write the next lines of the log to the client."""
        del last
        if not lines:
            return
        text = "".join(f"{line}\n" if not line.startswith(LOG_NOTICE) else f" {line}\n" for line in lines)
        if self._positions and first != self._next:
            text = f"{LOG_POSITION}{self._start._replace(line=first)}\n{text}"
        self._next = first + len(lines)
        await self._write(text.encode())


class Tail:
    """Keeps the last lines of a log until the log has no further lines at the moment. Then passes
    the kept lines, and after them every later line, to another sink.

    Args:
        lines: The maximum number of lines that are kept. The total length of the kept lines is at
            most ``MAX_TAIL_CHARACTERS``.
        write: The other sink.
    """

    def __init__(self, lines: int, write: Sink) -> None:
        self._lines: deque[str] = deque()
        self._limit = lines
        self._size = 0
        self._write = write
        self._is_over = False

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Keep the next lines of the log. The first call whose ``last`` is true passes the kept
        lines to the other sink. Later calls pass all their lines to the other sink.
        """
        if self._is_over:
            await self._write(lines, first=first, last=last)
            return
        for line in lines:
            self._lines.append(line)
            self._size += len(line)
            while self._lines and (len(self._lines) > self._limit or self._size > MAX_TAIL_CHARACTERS):
                self._size -= len(self._lines.popleft())
        if last:
            kept, self._lines, self._is_over = list(self._lines), deque(), True
            await self._write(kept, first=first + len(lines) - len(kept), last=True)


class From:
    """Passes the lines of the log to another sink, except the lines before a given line.

    Args:
        line: The number of the first line to pass on, from 0.
        write: The other sink.
    """

    def __init__(self, line: int, write: Sink) -> None:
        self._line = line
        self._write = write

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Pass the next lines of the log to the other sink, except lines before the given line."""
        skipped = min(max(self._line - first, 0), len(lines))
        await self._write(lines[skipped:], first=first + skipped, last=last)
