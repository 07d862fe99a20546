"""Finds the wrong values of a spec by its pydantic model, and describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .documents import MAX_QUOTED
from .findings import meant
from .text import plain

if TYPE_CHECKING:
    from pydantic import BaseModel

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})? ?(?:ms|s|sec|m|min|h|d|w)", re.IGNORECASE)


DATE_TIME = "write a date, a time and a time zone, such as 2026-01-01T00:00:00Z"
"""The hint for a text that is not a time."""


def misfits(spec: Mapping[str, Any], model: type[BaseModel]) -> list[Any]:
    """Return the errors of a spec: values that don't have the type of their field, as the API server
    refuses them. For example, the text ``"2"`` is no number. Texts that should be times are not
    checked.

    Args:
        spec: The spec as JSON.
        model: The model of the spec.

    Returns:
        Entries of the list that ``errors()`` of pydantic's ``ValidationError`` returns.
    """
    from pydantic import ValidationError

    try:
        model.model_validate_json(json.dumps(spec), strict=True)
    except ValidationError as error:
        # Strict validation takes no text for a time that a validator has seen.
        return [
            problem
            for problem in error.errors(include_url=False)
            if problem["type"] != "datetime_type" or not isinstance(problem["input"], str)
        ]
    return []


def in_words(problem: Any) -> str:
    """Return a description of one error in a spec, for example ``'Trainingg' should be 'Training'
    or 'Custom' (did you mean Training?)``.

    Args:
        problem: An entry of the list that ``errors()`` of pydantic's ``ValidationError`` returns.
    """
    kind, given = str(problem["type"]), problem["input"]
    if kind == "missing":
        return "is missing"
    if kind == "string_pattern_mismatch":
        return f"{quoted(given)} has characters that are not allowed"
    why = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    shown = f"{quoted(given)} " if isinstance(given, str | int | float) else ""
    hint = ""
    if kind.startswith(("int_", "float_")) and isinstance(given, str):
        in_seconds = "; write a number of seconds, such as 7200 for two hours" if _SECONDS.fullmatch(given) else ""
        hint = in_seconds or "; write it without quotes"
    elif kind.startswith(("datetime_", "timezone_")):
        hint = f"; {DATE_TIME}"
    elif kind == "enum" and isinstance(given, str):
        hint = meant(given, re.findall(r"'([^']*)'", why))
    return f"{shown}{why}{hint}"


def field_of(problem: Any) -> str:
    """Return the path of the field with an error, such as ``spec.outputs[0].name``.

    Args:
        problem: An entry of the list that ``errors()`` of pydantic's ``ValidationError`` returns.
    """
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"])


def quoted(value: Any) -> str:
    """Return the ``repr`` of a value, cut to :data:`~mljob.documents.MAX_QUOTED` characters."""
    return plain(repr(value), MAX_QUOTED)
