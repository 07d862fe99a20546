"""Functions that read one field of a JSON object. A field of another type than expected counts as
missing. So one unusual object, for example of another version of the CRD, doesn't break the list of
all MLJobs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]


def text(value: Object, name: str) -> str:
    """Return the field ``name`` of ``value`` if it is a text, else an empty text."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def whole(value: Object, name: str) -> int | None:
    """Return the field ``name`` of ``value`` if it is an integer, else None."""
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def numbers(value: Object, name: str) -> dict[str, float]:
    """Read the object in the field ``name`` of ``value``. Return the entries of this object that
    have a finite number as the value, or an empty dict if the field is not an object.
    """
    return {
        key: float(number)
        for key, number in child(value, name).items()
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    }


def child(value: Object, name: str) -> Object:
    """Return the field ``name`` of ``value`` if it is an object, else an empty object."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def children(value: Object, name: str) -> list[Object]:
    """Return the objects in the field ``name`` of ``value`` if it is a list, else an empty list."""
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def time(value: Object, name: str) -> datetime | None:
    """Return the time in the field ``name`` of ``value``, or None if the field is not a time in
    ISO 8601 format with a time zone.
    """
    try:
        at = datetime.fromisoformat(text(value, name))
    except ValueError:
        return None
    return at if at.tzinfo else None
