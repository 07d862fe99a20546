"""Logging: one JSON object a line for machines, or plain lines for people; both with namespace, job and run id where there are any."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_OURS = ("namespace", "job", "run_id", "phase", "reason")


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
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(log_format: str, log_level: str) -> None:
    """Send everything to standard error: our own loggers from ``log_level``, libraries from warning."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(_is_news)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mljob_operator").setLevel(log_level.upper())


def _is_news(record: logging.LogRecord) -> bool:
    """Kopf logs each try of a request, with what was answered as it is; :mod:`.adapters.watch` tells of each cause once, in words."""
    return not (record.name.startswith("kopf") and str(record.msg).startswith("Request attempt #"))
