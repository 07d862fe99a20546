"""Logging: one JSON object a line for machines, or plain lines for people; both with namespace, job and run id where there are any.

No line tells what is secret: neither values that MLJobs have from Secrets, nor the operator's own credentials.
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
"""A credential in a header, and a JSON Web Token wherever it is: sessions come and go, so their tokens are known by their form."""

redacting: ContextVar[Callable[[], Redaction]] = ContextVar("redacting", default=lambda: OPEN)
"""How lines about the MLJob at hand are redacted; each MLJob's steps are a task, and so a context, of their own."""

_credentials: dict[str, tuple[str, ...]] = {}
_of_the_operator = OPEN


def hide(owner: str, *credentials: str | None) -> None:
    """Let no line tell these credentials; those that the same owner had before are forgotten."""
    global _of_the_operator
    _credentials[owner] = tuple(text for text in credentials if text)
    _of_the_operator = Redaction(frozenset(text for texts in _credentials.values() for text in texts))


class RedactingFilter(logging.Filter):
    """Redacts records, with the texts of their exceptions. None is dropped."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record in place."""
        redaction = redacting.get()()
        record.msg, record.args = _redacted(record.getMessage(), redaction), None
        if record.exc_info:
            kind, _, trace = record.exc_info
            if redaction.complete:
                text = logging.Formatter().formatException(record.exc_info)
            else:
                # It is not known what the exception must not quote, so only its place and its class are told.
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
    """A record as JSON: time, level, logger, message, and what the caller passed in ``extra``."""

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
    """Send everything to standard error: our own loggers from ``log_level``, libraries from warning."""
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
    """Kopf logs each try of a request, with what was answered as it is; :mod:`.adapters.watch` tells of each cause once, in words."""
    return not (record.name.startswith("kopf") and str(record.msg).startswith("Request attempt #"))
