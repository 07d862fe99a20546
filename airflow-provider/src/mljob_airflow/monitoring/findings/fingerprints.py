"""Which errors are the same: an error without what changes from run to run.

The text of a failure is in its log alone: REST's task instances have none, and a monitor that needed Kafka would miss what no callback saw.
A fingerprint is of the exception's class and of its text, in which dates, ids, addresses, paths' random parts and numbers are replaced by signs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 300
"""Characters of an error that are compared, and shown."""

_CHANGING = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<=/tmp/)[^\s'\"/]+"), "<id>"),
    (re.compile(r"\b[a-z0-9-]+\.[a-z0-9-]+\.[a-z0-9.-]+\.[a-z2-7]{10}-\d+\b"), "<run>"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An exception, or the last line that a log calls an error; then ``type`` is empty."""

    type: str
    message: str

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}" if self.type and self.message else self.type or self.message
        return shortened(text)

    @property
    def fingerprint(self) -> str:
        """Ten hexadecimal characters, the same for errors that are the same."""
        return hashlib.sha256(f"{self.type}\n{normalised(self.message)}".encode()).hexdigest()[:10]


def normalised(text: str) -> str:
    """The text with signs instead of what changes from run to run."""
    # A log may hold megabytes in one line; what makes an error is at its beginning.
    text = text[: 4 * MAX_TEXT]
    for pattern, sign in _CHANGING:
        text = pattern.sub(sign, text)
    return text.strip()[:MAX_TEXT]


def shortened(text: str, length: int = MAX_TEXT) -> str:
    """The text in one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def last_error(lines: Iterable[Mapping[str, Any] | str]) -> ErrorText | None:
    """The last exception of a task's log, or else its last line of level error; ``None`` when there is neither.

    Args:
        lines: As ``GET .../logs/{try}`` has them: objects with ``event``, ``level`` and, with an exception, ``error_detail``, whose first entry is
            the exception that was raised; the others caused it. Plain text where a log handler knows no better.
    """
    exception: ErrorText | None = None
    complaint: ErrorText | None = None
    for line in lines:
        if isinstance(line, str):
            match = re.match(
                r"(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt))(?:: (.*))?$", line.strip()
            )
            if match:
                exception = ErrorText(match[1], match[2] or "")
            continue
        details = line.get("error_detail")
        if isinstance(details, list) and details and isinstance(details[0], Mapping):
            raised = details[0]
            exception = ErrorText(str(raised.get("exc_type") or ""), str(raised.get("exc_value") or ""))
        elif str(line.get("level", "")).lower() in ("error", "critical"):
            complaint = ErrorText("", str(line.get("event") or ""))
    return exception or complaint
