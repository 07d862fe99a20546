"""Configures the log: one JSON object per line, or plain lines for people.

JSON lines about an MLJob have the fields namespace and job, and often run_id, phase and reason. In
each line, ``***`` replaces the secrets that the process knows, and texts that look like tokens.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime

from .core.conf.redaction import HIDDEN, NOTHING_HIDDEN, Redaction

_EXTRA_FIELDS = ("namespace", "job", "run_id", "phase", "reason")
_TOKEN = re.compile(r"(?i)\b(?P<scheme>bearer|basic) +[\w.~+/=-]{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*")
"""A credential in a header, or a JSON Web Token anywhere in a text.

Tokens change all the time, so the operator recognises them by their form.
"""

redacting: ContextVar[Callable[[], Redaction]] = ContextVar("redacting", default=lambda: NOTHING_HIDDEN)
"""A function that returns the redaction for log lines of the current asyncio task. The steps of
each MLJob run in their own task, and so have their own value of this variable.
"""

_credentials: dict[str, tuple[str, ...]] = {}
_of_the_operator = NOTHING_HIDDEN


def hide(owner: str, *credentials: str | None) -> None:
    """Redact credentials in all log lines from now on. Earlier credentials of the same owner are no
    longer redacted.

    The credentials are redacted only in the log, which administrators read. A user who can choose
    words of a text, and sees which words are replaced, could try out passwords.

    Args:
        owner: A name for the source of the credentials, such as ``settings``.
        credentials: The credentials. None and empty strings are ignored.
    """
    global _of_the_operator
    _credentials[owner] = tuple(text for text in credentials if text)
    _of_the_operator = Redaction(frozenset(text for texts in _credentials.values() for text in texts))


def without_tokens(text: str) -> str:
    """Return a text with ``***`` in place of each part that has the form of a token or of the
    credentials in a header.
    """
    return _TOKEN.sub(lambda found: f"{found['scheme']} {HIDDEN}" if found["scheme"] else HIDDEN, text)


class RedactingFilter(logging.Filter):
    """Removes secrets from log records and from the exceptions in log records. If the current
    asyncio task handles an MLJob of which not all secrets are known, the filter also removes the
    message of an exception. The filter drops no record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place, and return True."""
        redaction = redacting.get()()
        record.msg, record.args = _redacted(record.getMessage(), redaction), None
        if record.exc_info:
            kind, _, trace = record.exc_info
            if redaction.complete:
                text = logging.Formatter().formatException(record.exc_info)
            else:
                # Not all secrets are known, and the exception's message may hold one of them. So
                # the message is left out, and the log gets only the traceback and the class of the
                # exception.
                place = "".join(traceback.format_tb(trace))
                text = f"Traceback (most recent call last):\n{place}{kind.__name__ if kind else None}"
            record.exc_text, record.exc_info = _redacted(text, redaction), None
        return True


def redacted_logger(name: str) -> logging.Logger:
    """Return a logger whose records are redacted before any handler sees them."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, RedactingFilter) for known in logger.filters):
        logger.addFilter(RedactingFilter())
    return logger


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object with the fields time, level, logger and message. The fields
    namespace, job, run_id, phase and reason follow if the log call's argument ``extra`` has them. A
    record with an exception also has the field exception, with the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object in one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _EXTRA_FIELDS if getattr(record, name, None) is not None}
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, default=str)


def configure(log_format: str, log_level: str) -> None:
    """Configure the log of the process, which goes to standard error.

    Args:
        log_format: ``json`` for one JSON object per line. Any other value gives plain text.
        log_level: The lowest level of the operator's own messages. The messages of libraries are
            logged from WARNING on, whatever ``log_level`` is.
    """
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(_is_relevant)
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mljob_operator").setLevel(log_level.upper())


def _redacted(text: str, redaction: Redaction) -> str:
    return without_tokens(_of_the_operator.text(redaction.text(text)))


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return False for kopf's log lines about single tries of a request, because these lines
    contain the raw answer of the server. :mod:`.adapters.watch` logs why a request fails.
    """
    return not (record.name.startswith("kopf") and str(record.msg).startswith("Request attempt #"))
