"""Functions that read one field of a JSON object. A field of an unexpected type counts as missing,
so that one unusual MLJob doesn't break the list of all MLJobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..finite import finite_number

Object = Mapping[str, Any]


def text(value: Object, name: str) -> str:
    """Return the field ``name`` of ``value``, or an empty text if the field is not a text."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def whole(value: Object, name: str) -> int | None:
    """Return the field ``name`` of ``value``, or None if the field is not an integer."""
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def numbers(value: Object, name: str) -> dict[str, float]:
    """Return the finite numbers in the object ``value[name]``, by key. Return an empty dict if
    ``value[name]`` is not an object.
    """
    found = {key: finite_number(number) for key, number in child(value, name).items()}
    return {key: number for key, number in found.items() if number is not None}


def child(value: Object, name: str) -> Object:
    """Return the field ``name`` of ``value``, or an empty object if the field is not an object."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def children(value: Object, name: str) -> list[Object]:
    """Return the objects in the list ``value[name]``. Return an empty list if ``value[name]`` is
    not a list.
    """
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def time(value: Object, name: str) -> datetime | None:
    """Return the time in the field ``name`` of ``value``. Return None if the field is not an ISO
    8601 time with a time zone.
    """
    try:
        at = datetime.fromisoformat(text(value, name))
    except ValueError:
        return None
    return at if at.tzinfo else None
