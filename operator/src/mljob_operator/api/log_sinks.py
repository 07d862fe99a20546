"""Sinks for the log of one try of a task. A sink gets the lines of the log as UTF-8, and passes
lines on to the HTTP client or to another sink.

Sinks get bytes, because the memory of bytes is known: a str with a single emoji takes four bytes
for each character, and a list takes more than 50 bytes for each short line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from mljob_contract.run_api import LOG_POSITION, LogPosition

MAX_TAIL_BYTES = 1024 * 1024
"""The maximum number of bytes that ``tail`` keeps in memory. The oldest lines are left out."""
MAX_PIECE = 64 * 1024
"""The maximum number of bytes that are sent to a client at once, unless a single line is longer.
The connection has its own copy of a piece until the client has received it.
"""


class Sink(Protocol):
    """A function that gets the lines of a log, in one or more calls."""

    async def __call__(self, text: bytes, *, first: int, last: bool) -> None:
        """Receive the next lines of the log.

        Args:
            text: The lines in UTF-8, each with a line feed at its end. Empty for no lines.
            first: The number of the first line in ``text``, counted from 0 in the whole log.
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

    async def __call__(self, text: bytes, *, first: int, last: bool) -> None:
        """Write the next lines of the log to the client."""
        del last
        if not text:
            return
        if self._positions and first != self._next:
            await self._write(f"{LOG_POSITION}{self._start._replace(line=first)}\n".encode())
        self._next = first + text.count(b"\n")
        for piece in _pieces(text):
            await self._write(piece)


class Tail:
    """Passes the last lines of the existing log to another sink, and then all later lines.

    Args:
        lines: The maximum number of lines from the existing log. If all these lines together have
            more than ``MAX_TAIL_BYTES`` bytes, the first of them are left out.
        write: The other sink.
    """

    def __init__(self, lines: int, write: Sink) -> None:
        self._kept = bytearray()
        self._limit = lines
        self._write = write
        self.is_over = False
        """Whether the existing log has ended. From then on, no lines are kept."""

    @property
    def has_lines(self) -> bool:
        """Whether lines are kept in memory now."""
        return bool(self._kept)

    async def __call__(self, text: bytes, *, first: int, last: bool) -> None:
        """Store the lines. Forget the oldest stored lines if a limit is exceeded. When ``last`` is
        True for the first time, pass the stored lines to the other sink. Later calls pass their
        lines on at once.
        """
        if self.is_over:
            await self._write(text, first=first, last=last)
            return
        self._keep(text)
        if last:
            following = first + text.count(b"\n")
            kept, self._kept, self.is_over = bytes(self._kept), bytearray(), True
            await self._write(kept, first=following - kept.count(b"\n"), last=True)

    def _keep(self, text: bytes) -> None:
        surplus = _surplus(text, self._limit, MAX_TAIL_BYTES)
        if surplus:
            text = text[surplus:]
            # The kept lines must have no gap before the lines that are left.
            self._kept.clear()
        # Old lines go before new lines come, so that the bytearray never grows above the limit.
        del self._kept[: _surplus(self._kept, self._limit - text.count(b"\n"), MAX_TAIL_BYTES - len(text))]
        self._kept += text


class From:
    """Passes the lines to another sink, without the lines before a given line number.

    Args:
        line: The number of the first line to pass, counted from 0.
        write: The other sink.
    """

    def __init__(self, line: int, write: Sink) -> None:
        self._line = line
        self._write = write

    async def __call__(self, text: bytes, *, first: int, last: bool) -> None:
        """Pass the next lines to the other sink, without the lines before the given line number."""
        skipped = min(max(self._line - first, 0), text.count(b"\n"))
        await self._write(text[_size_of_lines(text, skipped) :], first=first + skipped, last=last)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Yield the text in pieces of whole lines. A response that is stopped between two pieces then
    goes on with a notice in a line of its own.
    """
    at = 0
    while at < len(text):
        end = (text.rfind(b"\n", at, at + MAX_PIECE) + 1) or (text.index(b"\n", at) + 1)
        yield text[at:end]
        at = end


def _surplus(text: bytes | bytearray, lines: int, size: int) -> int:
    """Return how many bytes to remove from the beginning of the text, so that at most ``lines``
    whole lines with together at most ``size`` bytes are left.
    """
    surplus = _size_of_lines(text, text.count(b"\n") - lines)
    if len(text) - surplus > size:
        surplus = text.index(b"\n", len(text) - size - 1) + 1
    return surplus


def _size_of_lines(text: bytes | bytearray, lines: int) -> int:
    """Return the number of bytes of the first lines of the text: 0 if ``lines`` is not positive."""
    size = 0
    for _ in range(lines):
        size = text.index(b"\n", size) + 1
    return size
