"""Sinks for the log of one try of a task. A sink gets the lines of the log, and passes lines on to
the HTTP client or to another sink.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from mljob_contract.run_api import LOG_NOTICE, LOG_POSITION, LogPosition

MAX_TAIL_CHARACTERS = 4 * 1024 * 1024
"""The maximum number of characters that ``tail`` keeps in memory. The oldest lines are left out."""


class Sink(Protocol):
    """A function that gets the lines of a log, in one or more calls."""

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Receive the next lines of the log.

        Args:
            lines: The lines.
            first: The number of the first line in ``lines``, counted from 0 in the whole log.
            last: Whether Airflow has no further lines at the moment.
        """
        ...


class Lines:
    """Writes all lines to the HTTP client.

    Args:
        start: The position of the first line of the try's log.
        write: Sends bytes to the client.
        positions: Whether to write a :class:`.LogPosition` before the first line that is written,
            and before the first line after each gap in the line numbers.
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
    """Passes the last lines of the existing log to another sink, and then all later lines.

    Args:
        lines: The maximum number of lines from the existing log. If all these lines together have
            more than ``MAX_TAIL_CHARACTERS`` characters, the first of them are left out.
        write: The other sink.
    """

    def __init__(self, lines: int, write: Sink) -> None:
        self._lines: deque[str] = deque()
        self._limit = lines
        self._size = 0
        self._write = write
        self._is_over = False

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Store the lines. Forget the oldest stored lines if a limit is exceeded. When ``last`` is
        True for the first time, pass the stored lines to the other sink. Later calls pass their
        lines on at once.
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
    """Passes the lines to another sink, without the lines before a given line number.

    Args:
        line: The number of the first line to pass, counted from 0.
        write: The other sink.
    """

    def __init__(self, line: int, write: Sink) -> None:
        self._line = line
        self._write = write

    async def __call__(self, lines: Sequence[str], *, first: int, last: bool) -> None:
        """Pass the next lines to the other sink, without the lines before the given line number."""
        skipped = min(max(self._line - first, 0), len(lines))
        await self._write(lines[skipped:], first=first + skipped, last=last)
