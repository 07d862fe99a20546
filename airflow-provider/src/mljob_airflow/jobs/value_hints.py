"""Returns hints on how to write a duration or a date, for error messages about the values of
params.
"""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|s|sec|m|min|h|d|w)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = "for example 2026-01-01T00:00:00Z"

_OF_FORMATS = {
    "date-time": f"write a date, a time and a time zone, {_TIME}",
    "date": "write a date, for example 2026-01-01",
    "duration": "write a duration as in ISO 8601, for example PT2H for two hours",
}
"""The hints, by the ``format`` of a JSON Schema."""
_OF_PROBLEMS = {
    "timezone_aware": _OF_FORMATS["date-time"],
    "datetime_from_date_parsing": _OF_FORMATS["date-time"],
    "datetime_parsing": _OF_FORMATS["date-time"],
    "datetime_type": _OF_FORMATS["date-time"],
    "date_from_datetime_parsing": _OF_FORMATS["date"],
    "date_parsing": _OF_FORMATS["date"],
    "time_delta_parsing": _OF_FORMATS["duration"],
}
"""The hints, by the type of a pydantic error (pydantic's documentation, "Validation Errors")."""


def for_number(value: object) -> str:
    """Return a hint if ``value`` is a duration such as ``2h`` instead of a number. Otherwise return
    an empty text.
    """
    if not isinstance(value, str) or (match := _DURATION.fullmatch(value.strip())) is None:
        return ""
    seconds = float(match[1]) * _SECONDS[match[2].lower()]
    return f"write a duration as a number, in seconds {seconds:.15g} for {value.strip()}"


def for_format(name: object) -> str:
    """Return the hint for a format of JSON Schema, such as ``date``. Return an empty text if there
    is no hint.
    """
    return _OF_FORMATS.get(str(name), "")


def for_problem(kind: str, value: object) -> str:
    """Return the hint for a value that pydantic refuses, or an empty text if there is no hint.
    ``kind`` is the type of pydantic's error, for example ``date_parsing``.
    """
    return for_number(value) if kind.startswith(("int_", "float_")) else _OF_PROBLEMS.get(kind, "")
