"""Hints for messages about invalid values. For example, a hint shows how to write a duration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

DATE_TIME = "write a date, a time and a time zone, such as 2026-01-01T00:00:00Z"
SECONDS = "write a number of seconds, such as 7200 for two hours"

MAX_COMPARED = 100
"""The maximum number of names that a name is compared with."""
MAX_COMPARED_LENGTH = 60
"""The maximum length of a name that is compared, in characters. The comparison takes time that
grows with the product of the lengths.
"""

_NO_NUMBER = re.compile(
    r"'\d{1,9}(?:\.\d{1,9})? ?(?:ms|s|sec|m|min|h|d|w)' is not of type '(?:integer|number)'", re.IGNORECASE
)


def of_field(name: str, problem: str) -> str | None:
    """Return a hint on how to write the value of a field in a spec, or None if there is no hint.

    Args:
        name: The name of the field.
        problem: The type of pydantic's error (see "Validation Errors" in pydantic's documentation).
    """
    if name.endswith("Seconds") and problem.startswith(("int_", "float_")):
        return SECONDS
    return DATE_TIME if problem.startswith(("datetime_", "timezone_")) else None


def meant(name: str, known: Iterable[str]) -> str:
    """Return a space and a hint such as ``(did you mean epochs?)``, or an empty text if no name in
    ``known`` is similar to ``name``.

    Only the first ``MAX_COMPARED`` (100) names in ``known`` are compared with ``name``. A name of
    more than ``MAX_COMPARED_LENGTH`` (60) characters never counts as similar.
    """
    compared = [other for other in islice(known, MAX_COMPARED) if len(other) <= MAX_COMPARED_LENGTH]
    similar = get_close_matches(name, compared, n=1) if len(name) <= MAX_COMPARED_LENGTH else []
    return f" (did you mean {similar[0]}?)" if similar else ""


def of_param(refusal: str) -> str | None:
    """Return a hint on how to write the value of a DAG's param, or None if there is no hint.
    ``refusal`` is jsonschema's message about the value.
    """
    if _NO_NUMBER.search(refusal):
        return "write the duration as a number; in seconds, two hours are 7200"
    return DATE_TIME if "is not a 'date-time'" in refusal else None
