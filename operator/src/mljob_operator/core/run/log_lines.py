"""Converts the entries of a task's log into lines of text for terminals.

A task can write anything: control characters that move the cursor of a terminal, values from
Secrets, or texts of any length. Control characters are removed before values from Secrets are
redacted, because a control character within a value would hide the value from redaction.

Source: ``StructuredLogMessage`` in ``airflow/utils/log/file_task_handler.py``; structlog's
``ExceptionDictTransformer`` for ``error_detail``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..conf.redaction import Redaction
from ..frozen import frozen
from ..text.storable import whole

MAX_LINE = 16 * 1024
"""The maximum number of characters of a line. The rest of a longer line is left out."""
WINDOW = 64 * 1024
"""The number of characters that are redacted at once. Redaction takes a hundred times the memory of
its text.
"""
MAX_FIELDS = 20
"""The maximum number of fields that the line of an entry shows, besides the time, the level and the
text. Also the maximum number of notes of an exception.
"""
MAX_FIELD = 200
"""The maximum number of characters of the name of such a field, and of its value."""
MAX_FRAMES = 100
"""The maximum number of frames of a traceback."""
MAX_STACKS = 10
"""The maximum number of exceptions of a traceback: the exception itself, and the exceptions that
caused it.
"""
HEADER = "::group::Log message source details"
"""The first entry of the header in which Airflow says where it has found the log."""
GROUP_END = "::endgroup::"
"""The last entry of a group, and so of the header."""
UNREADABLE_SOURCES = ("Could not ", "Log file not found ", "!!!! ")
"""The beginnings of the header's entries about sources that can't be read. The last of them is
about a log server that refuses Airflow's token.
"""
MAX_UNREADABLE = 5
"""The maximum number of such entries that are kept."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # a control sequence, such as a colour
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|\x9c|\Z)"  # a string for the terminal, such as a title or a link
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
"""The escape sequences of terminals (ECMA-48, 5.3 to 5.6)."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""The control characters except tab and line feed, and the characters that reverse the direction of
the text.
"""
_FOR_THE_UI = frozenset({"::group::Pre Execute", "::group::Post Execute", GROUP_END})
"""Entries by which Airflow's UI folds the log."""
_GROUP = "::group::"
"""The beginning of an entry that has the title of a group."""
_SHOWN_OTHERWISE = frozenset(
    {
        *("timestamp", "event", "level", "logger", "filename", "lineno", "loc", "chan", "error_detail", "exception"),
        # The task instance, which is the same in the whole log.
        *("ti", "ti_id", "dag_id", "run_id", "task_id", "map_index", "try_number"),
    }
)


@frozen
class LogEntry:
    """One entry of a task's log, as Airflow's REST API returns it.

    Attributes:
        value: The entry as a JSON value: an object with ``event``, ``timestamp`` and other fields,
            or a string.
        size: The number of bytes of the whole entry in Airflow's answer.
        is_whole: Whether ``value`` has the whole entry. If not, the entry was too large, and
            ``value`` has only the beginning of the entry.
    """

    value: Any
    size: int
    is_whole: bool = True

    @property
    def event(self) -> str:
        """The text of the entry."""
        event = self.value.get("event") if isinstance(self.value, Mapping) else self.value
        return event if isinstance(event, str) else "" if event is None else _json(event)


class EntryLines:
    """Converts the entries of one answer of Airflow into lines of text.

    The answer may begin with Airflow's header, whose entries name the hosts and paths of the log.
    The header is left out and not counted.

    Args:
        redaction: Redacts the values from Secrets.
        skip: The number of entries to skip, because an earlier answer had them.
        has_header: Whether the answer may begin with a header. Airflow sends a header only at the
            beginning of a log. Elsewhere, entries that look like a header come from the task.

    Attributes:
        count: The number of entries so far, including skipped entries, without the header.
        unreadable: The lines of the header's error messages, for example about a missing log file.
            Only the first ``MAX_UNREADABLE`` messages are kept.
    """

    def __init__(self, redaction: Redaction, *, skip: int = 0, has_header: bool = True) -> None:
        self._redaction = redaction
        self._skip = skip
        self._may_begin = has_header
        self._in_header = False
        self._unreadable = 0
        self.count = 0
        self.unreadable: list[str] = []

    def __call__(self, entry: LogEntry) -> list[str]:
        """Return the lines of the next entry. The list is empty if the entry is skipped or belongs
        to the header.
        """
        if self._may_begin:
            self._may_begin, self._in_header = False, entry.event == HEADER
        if self._in_header:
            self._read_header(entry)
            return []
        self.count += 1
        return [] if self.count <= self._skip else list(lines(entry, self._redaction))

    def _read_header(self, entry: LogEntry) -> None:
        self._in_header = entry.event != GROUP_END
        if entry.event.startswith(UNREADABLE_SOURCES) and self._unreadable < MAX_UNREADABLE:
            self._unreadable += 1
            self.unreadable += plain_lines(entry.event, self._redaction)


def lines(entry: LogEntry, redaction: Redaction) -> Iterator[str]:
    """Yield the lines of an entry, without values from Secrets. If the entry is only the beginning
    of a longer entry, the last line says so.

    Entries that only fold the log in Airflow's UI, such as "Pre Execute", have no lines.
    """
    if entry.event in _FOR_THE_UI:
        return
    yield from plain_lines(_text(entry), redaction)
    if not entry.is_whole:
        yield f"(The entry above has {entry.size} bytes. The rest is left out.)"


def plain_lines(text: str, redaction: Redaction) -> Iterator[str]:
    """Yield the lines of a text, without control characters and without values from Secrets. A
    line of more than ``MAX_LINE`` characters is cut, and a remark at its end says so.
    """
    text = whole(_without_controls(text))
    while text:
        window = text[:WINDOW]
        if len(text) > WINDOW and "\n" in window:
            window = window[: window.rindex("\n") + 1]
        elif len(text) > WINDOW:
            # The line is longer than the window, and the part behind the window is left out. So no
            # text from a Secret can begin in one window and end in the next.
            text = window + text[len(window) :].partition("\n")[1] + text[len(window) :].partition("\n")[2]
            window = text[: WINDOW + 1]
        text = text[len(window) :]
        for line in redaction.untrusted(window.removesuffix("\n")).split("\n"):
            yield line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} (the rest of the line is left out)"


def _without_controls(text: str) -> str:
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def _text(entry: LogEntry) -> str:
    value = entry.value
    if not isinstance(value, Mapping):
        return entry.event
    level = value.get("level")
    parts = [
        _time(value.get("timestamp")),
        level.upper().ljust(7) if isinstance(level, str) and len(level) <= 10 else "",
        entry.event.removeprefix(_GROUP),
        *_fields(value),
    ]
    return "\n".join([" ".join(part for part in parts if part), *_traceback(value.get("error_detail"))])


def _time(value: Any) -> str:
    try:
        at = datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return ""
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _fields(value: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name in value if name not in _SHOWN_OTHERWISE]
    for name in names[:MAX_FIELDS]:
        text = value[name] if isinstance(value[name], str) else _json(value[name])
        # The text is redacted before it is shown, and redaction finds the beginning of a value.
        yield f"{name[:MAX_FIELD]}={text if len(text) <= MAX_FIELD else text[:MAX_FIELD] + '...'}"


def _traceback(details: Any) -> Iterator[str]:
    """Yield the lines of a traceback in Python's format: the exception that caused the others comes
    first.
    """
    if not isinstance(details, list):
        return
    stacks = [stack for stack in details[:MAX_STACKS] if isinstance(stack, Mapping)]
    for index, stack in reversed(list(enumerate(stacks))):
        frames = [frame for frame in stack.get("frames") or () if isinstance(frame, Mapping)]
        if frames:
            yield "Traceback (most recent call last):"
        for frame in frames[-MAX_FRAMES:]:
            yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
        yield f"{stack.get('exc_type')}: {stack.get('exc_value')}"
        notes = stack.get("exc_notes")
        yield from (str(note) for note in (notes if isinstance(notes, list) else ())[:MAX_FIELDS])
        if index:
            yield ""
            yield (
                "The above exception was the direct cause of the following exception:"
                if stack.get("is_cause")
                else "During handling of the above exception, another exception occurred:"
            )
            yield ""


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(a value that is nested too deeply)"
