"""Makes fingerprints of errors. Two errors with the same fingerprint count as the same error.

A fingerprint is made from the class and the text of an exception. In the text, placeholders replace
the parts that change from run to run, such as dates, ids and numbers.

The texts of errors come from task logs, because the REST API has no error text of a task instance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mljob_airflow.truncation import truncated

MAX_TEXT = 300
"""The maximum number of characters of an error that are compared and shown."""

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
    """The error of a task. ``type`` is the class of an exception, and empty for a log line with
    level error or critical.
    """

    type: str
    message: str

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}" if self.type and self.message else self.type or self.message
        return shortened(text)

    @property
    def fingerprint(self) -> str:
        """Ten hexadecimal characters that are the same for errors that count as the same error."""
        return hashlib.sha256(f"{self.type}\n{normalised(self.message)}".encode()).hexdigest()[:10]


STOPPED = ErrorText("", "Airflow stopped the task, because its state was changed from outside.")
"""Stands for the error of a task that Airflow has stopped, for example because somebody set the task
or its run to failed.
"""
_STOPPED = "Server indicated the task shouldn't be running anymore"
"""The beginning of the line that Airflow logs before it stops the task's process."""


def normalised(text: str) -> str:
    """Replace the parts of ``text`` that change from run to run by placeholders. Return at most
    ``MAX_TEXT`` characters.
    """
    # A log line may have megabytes, but the beginning suffices to recognise the error.
    text = text[: 4 * MAX_TEXT]
    for pattern, placeholder in _CHANGING:
        text = pattern.sub(placeholder, text)
    return text.strip()[:MAX_TEXT]


def shortened(text: str, length: int = MAX_TEXT) -> str:
    """Return ``text`` in one line of at most ``length`` characters."""
    return truncated(" ".join(text.split()), length)


def last_error(lines: Iterable[Mapping[str, Any] | str]) -> ErrorText | None:
    """Return the last exception in a task's log as an :class:`ErrorText`. If the log has no
    exception, return the last line with level error or critical. If the log has no such line
    either, return None. If Airflow has stopped the task, return :data:`STOPPED`.

    Args:
        lines: The log's lines from ``GET .../logs/{try}``: objects with ``event``, ``level`` and,
            for an exception, ``error_detail``. Some log handlers return lines of plain text. A line
            of plain text counts as an exception if the line is a class name, such as
            ``ValueError``, or a class name and a message, such as ``ValueError: no rows``. The
            class name must end in Error, Exception, Warning, Exit or Interrupt.
    """
    exception: ErrorText | None = None
    error_line: ErrorText | None = None
    stopped = False
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
            error_line = ErrorText("", str(line.get("event") or ""))
            stopped = stopped or error_line.message.startswith(_STOPPED)
    return STOPPED if stopped else exception or error_line
