"""Splits a task's log into its entries while the log arrives from Airflow.

The response is one JSON object of any size:
``{"content": [entry, ...], "continuation_token": text or null}``. A JSON parser would keep the
whole response in memory. So this module finds the end of each entry, and parses one entry at a
time, at most its first ``MAX_ENTRY`` bytes.

Source: ``TaskInstancesLogResponse`` in ``airflow/api_fastapi/core_api/datamodels/log.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from ...core.run.log_lines import LogEntry

MAX_ENTRY = 1024 * 1024
"""The maximum number of bytes of an entry. The rest of a longer entry is dropped."""
MAX_FRAME = 64 * 1024
"""The maximum number of bytes of the answer outside of the entries. Most of these bytes are the
token.
"""
MAX_VALUES = 10_000
"""The maximum number of JSON values of an entry that is parsed. An entry with more values becomes a
text.
"""
MAX_TOKEN = 16 * 1024
"""The maximum number of characters of a token. Airflow's tokens have a few hundred."""

_STRUCTURE = re.compile(rb'["{}\[\],]')
_IN_STRING = re.compile(rb'["\\]')
_CONTENT = re.compile(rb'"content"\s*:\s*\Z')


class NotALog(ValueError):
    """The error for an answer that is not a log: incomplete JSON, no field ``content``, an invalid
    continuation token, or too many bytes outside of the entries.
    """


class LogDocument:
    """Splits one answer of Airflow into log entries. The answer contains a log or a part of a log,
    and arrives in chunks of bytes.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = self._in_content = False
        self._frame = bytearray()
        self._entry = bytearray()
        self._entry_size = 0

    def feed(self, chunk: bytes) -> Iterator[LogEntry]:
        """Add a chunk of the answer, and yield the entries that end in this chunk.

        Raises:
            NotALog: The answer has more than ``MAX_FRAME`` bytes outside of the entries.
        """
        at = 0
        while at < len(chunk):
            if self._in_string:
                at = self._string(chunk, at)
                continue
            found = _STRUCTURE.search(chunk, at)
            self._take(chunk[at : found.start() if found else len(chunk)])
            if found is None:
                return
            at = found.end()
            if (entry := self._mark(found[0])) is not None:
                yield entry

    def token(self) -> str | None:
        """Return the continuation token with which a later request gets the entries after this
        answer, or None if the log ends with this answer. Call this method after the last chunk.

        Raises:
            NotALog: The answer is not a log, or is not whole.
        """
        try:
            frame = json.loads(self._frame)
        except (ValueError, RecursionError):
            raise NotALog("it is not whole JSON") from None
        token = frame.get("continuation_token") if isinstance(frame, dict) else None
        if self._depth or not isinstance(frame, dict) or "content" not in frame or not isinstance(token, str | None):
            raise NotALog("it has no content, or a token that is no text")
        if token is not None and len(token) > MAX_TOKEN:
            raise NotALog(f"its token has more than {MAX_TOKEN} characters")
        return token

    def _string(self, chunk: bytes, at: int) -> int:
        """Read bytes of a JSON string from the position ``at`` of ``chunk``, and return the
        position after these bytes. The caller calls this method again until the string ends.
        """
        if self._escaped:
            self._escaped = False
            self._take(chunk[at : at + 1])
            return at + 1
        found = _IN_STRING.search(chunk, at)
        end = found.end() if found else len(chunk)
        self._take(chunk[at:end])
        if found is not None:
            self._in_string, self._escaped = found[0] != b'"', found[0] == b"\\"
        return end

    def _mark(self, mark: bytes) -> LogEntry | None:
        """Read ``mark``, one of the characters ``" { } [ ] ,`` outside of a JSON string. Return the
        entry that ends at ``mark``, or None.
        """
        between_entries = self._in_content and self._depth == 2
        if between_entries and mark in b",]}":
            if mark == b"]":
                self._in_content, self._depth = False, 1
                self._frame += mark
            return self._ended()
        opens_content = mark == b"[" and self._depth == 1 and _CONTENT.search(self._frame) is not None
        self._take(mark)
        self._in_string = mark == b'"'
        if mark in b"{[":
            self._depth += 1
            self._in_content = self._in_content or opens_content
        elif mark in b"}]":
            self._depth -= 1
        return None

    def _take(self, data: bytes) -> None:
        if not self._in_content:
            self._frame += data
            if len(self._frame) > MAX_FRAME:
                raise NotALog(f"it has more than {MAX_FRAME} bytes around the entries")
            return
        self._entry_size += len(data)
        if (room := MAX_ENTRY - len(self._entry)) > 0:
            self._entry += data[:room]

    def _ended(self) -> LogEntry | None:
        text, size = bytes(self._entry).strip(), self._entry_size
        self._entry, self._entry_size = bytearray(), 0
        if not text:
            return None
        return LogEntry(_parsed(text, is_whole=size <= MAX_ENTRY), size, is_whole=size <= MAX_ENTRY)


def _parsed(text: bytes, *, is_whole: bool) -> Any:
    """Return an entry as a JSON value. Return the entry as text if the entry is not JSON or has too
    many values. If ``is_whole`` is false, ``text`` is only the beginning of the entry, and the
    result has only this beginning.
    """
    if sum(map(text.count, (b",", b"[", b"{"))) <= MAX_VALUES:
        try:
            return from_json(text, allow_partial=False if is_whole else "trailing-strings", cache_strings=False)
        except ValueError:
            pass
    return text.decode(errors="replace")
