"""Logging: one JSON object per line for machines, or plain lines for people.

JSON lines have the fields namespace, job and run_id if the line is about an MLJob. No line contains
secrets: neither values that MLJobs get from Secrets, nor the operator's own credentials.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime

from .core.conf.redaction import HIDDEN, OPEN, Redaction

_OURS = ("namespace", "job", "run_id", "phase", "reason")
_TOKEN = re.compile(r"(?i)\b(?P<scheme>bearer|basic) +[\w.~+/=-]{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*")
"""A credential in a header, or a JSON Web Token anywhere in a text.

Tokens of sessions change, so they are recognised by their form.
"""

redacting: ContextVar[Callable[[], Redaction]] = ContextVar("redacting", default=lambda: OPEN)
"""Gives the redaction for log lines of the current task. Each MLJob's steps run in their own task,
and so in their own context."""

_credentials: dict[str, tuple[str, ...]] = {}
_of_the_operator = OPEN


def hide(owner: str, *credentials: str | None) -> None:
    """Redact these credentials in all log lines. They replace the owner's earlier credentials."""
    global _of_the_operator
    _credentials[owner] = tuple(text for text in credentials if text)
    _of_the_operator = Redaction(frozenset(text for texts in _credentials.values() for text in texts))


class RedactingFilter(logging.Filter):
    """Redacts log records and the texts of their exceptions. It drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record in place."""
        redaction = redacting.get()()
        record.msg, record.args = _redacted(record.getMessage(), redaction), None
        if record.exc_info:
            kind, _, trace = record.exc_info
            if redaction.complete:
                text = logging.Formatter().formatException(record.exc_info)
            else:
                # The secrets are not all known, so the exception's message is left out: only the
                # traceback and the class are logged.
                place = "".join(traceback.format_tb(trace))
                text = f"Traceback (most recent call last):\n{place}{kind.__name__ if kind else None}"
            record.exc_text, record.exc_info = _redacted(text, redaction), None
        return True


def redacted_logger(name: str) -> logging.Logger:
    """A logger whose records are redacted before any handler sees them."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, RedactingFilter) for known in logger.filters):
        logger.addFilter(RedactingFilter())
    return logger


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, and the operator's fields from ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _OURS if getattr(record, name, None) is not None}
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, default=str)


def configure(log_format: str, log_level: str) -> None:
    """Log to standard error: the operator from ``log_level`` on, libraries from warning on."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(_is_news)
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mljob_operator").setLevel(log_level.upper())


def _redacted(text: str, redaction: Redaction) -> str:
    text = _of_the_operator.text(redaction.text(text))
    return _TOKEN.sub(lambda found: f"{found['scheme']} {HIDDEN}" if found["scheme"] else HIDDEN, text)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop kopf's line about each try of a request, which quotes the raw answer.

    :mod:`.adapters.watch` logs each cause once instead.
    """
    return not (record.name.startswith("kopf") and str(record.msg).startswith("Request attempt #"))
