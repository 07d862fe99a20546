"""Pure functions that search the log of a failed task for the lines that explain the failure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from .text import clean_line

SEARCHED_LINES: Final = 1_000
"""The maximum number of lines at the end of a log that are searched for the traceback."""
_MATCHED: Final = 80
"""The maximum number of characters of the status's error that are searched for in the log. The
status cuts long errors.
"""
_MESSAGE_LINES: Final = 5
"""The maximum number of lines of an exception's message that are shown after its first line."""
_BEGINNING: Final = "Traceback (most recent call last):"
_ENTRY: Final = re.compile(r"\A\d{4}-\d\d-\d\dT\S{1,20}Z (?:[A-Z][A-Z ]{6} |[A-Z]{8,10} )?")
"""The time and the level that mljob-api writes before the first line of each entry."""
_AIRFLOW_FRAME: Final = re.compile(r'\s+File "[^"]{0,1000}/site-packages/airflow/[^"]{1,1000}", line \d')
"""A frame of a traceback in a file of Airflow or of one of its providers."""


class LogEnd(NamedTuple):
    """The lines of a log that explain a failure.

    Attributes:
        following: How many more lines the log has after ``lines``.
    """

    lines: list[str]
    following: int = 0

    def title(self, whose: str) -> str:
        """Return a heading for the lines. ``whose`` names the log, such as ``its log``."""
        if not self.following:
            return f"The last {len(self.lines)} lines of {whose}:"
        return f"The {len(self.lines)} lines of {whose} up to the error, before {self.following} others:"


def end_with_error(lines: Sequence[str], limit: int, error: str | None) -> LogEnd:
    """Return at most ``limit`` lines of a log that explain a failure.

    The function chooses the last traceback with the text ``error``. If no traceback has this text,
    the function chooses the last traceback in ``lines``. The result depends on this traceback:

    - If the last ``limit`` lines contain the whole traceback, the result is these lines.
    - If the traceback begins earlier, the result is the ``limit`` lines up to its end.
    - If ``lines`` has no traceback, the result is the last ``limit`` lines.

    Before the lines are counted, one line replaces successive frames in Airflow's own files.

    Args:
        lines: The end of the log.
        limit: The maximum number of lines to return.
        error: The error of the task in the MLJob's status, or None.
    """
    tracebacks = list(_tracebacks(lines))
    first = (error or "").partition("\n")[0]
    wanted = " ".join((first.partition(": ")[2] or first).split())[:_MATCHED]
    matching = [found for found in tracebacks if wanted and wanted in " ".join(_text(lines[found[1]]).split())]
    begin, end = (matching or tracebacks or [(len(lines), len(lines) - 1)])[-1]
    if limit <= 0:
        return LogEnd([])
    if len(_folded(lines[begin:])) <= limit:
        return LogEnd(_folded(lines)[-limit:])
    end = _end_of_message(lines, end)
    return LogEnd(_folded(lines[: end + 1])[-limit:], len(lines) - end - 1)


def _folded(lines: Sequence[str]) -> list[str]:
    """Replace successive frames in Airflow's own files by one line, such as ``... 12 frames of
    Airflow``.
    """
    made, frames, number = list[str](), list[str](), 0

    def taken() -> list[str]:
        return [f"  ... {number} frames of Airflow"] if number > 1 else frames

    for line in lines:
        text = _text(line)
        is_frame = _AIRFLOW_FRAME.match(text) is not None
        if is_frame or (frames and text.startswith("    ")):  # the source of a frame is below it
            frames.append(line)
            number += is_frame
        else:
            made += [*taken(), line]
            frames, number = [], 0
    return made + taken()


def _tracebacks(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the indexes of the first and the last line of each traceback. The last line names the
    exception.
    """
    begin: int | None = None
    for index, line in enumerate(lines):
        text = _text(line)
        if text.endswith(_BEGINNING):
            begin = index
        elif begin is not None and text.strip() and not text.startswith((" ", "\t")):
            yield begin, index
            begin = None


def _end_of_message(lines: Sequence[str], at: int) -> int:
    """Return the index of the last line of an exception's message. ``at`` is the index of the first
    line. The message ends before an empty line, before the next entry of the log, or after
    ``_MESSAGE_LINES`` more lines. If the first line is itself the beginning of an entry, the
    message has only this line.
    """
    end = at
    if _ENTRY.match(clean_line(lines[at])):
        return at
    for line in lines[at + 1 : at + 1 + _MESSAGE_LINES]:
        if not line.strip() or _ENTRY.match(clean_line(line)):
            break
        end += 1
    return end


def _text(line: str) -> str:
    return _ENTRY.sub("", clean_line(line), count=1)
