"""Fields of an object as JSON, of the wanted type or without a value. An object that another version
of the CRD has stored, or a server that is no API server, must not keep a list from being shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]


def text(value: Object, name: str) -> str:
    """Return a text, or an empty text."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def whole(value: Object, name: str) -> int | None:
    """Return an integer, or None."""
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def numbers(value: Object, name: str) -> dict[str, float]:
    """Return the numbers of a map, without NaN and infinity."""
    return {
        key: float(number)
        for key, number in child(value, name).items()
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    }


def child(value: Object, name: str) -> Object:
    """Return an object, or an empty one."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def children(value: Object, name: str) -> list[Object]:
    """Return the objects of a list."""
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def time(value: Object, name: str) -> datetime | None:
    """Return a time with a time zone, or None."""
    try:
        at = datetime.fromisoformat(text(value, name))
    except ValueError:
        return None
    return at if at.tzinfo else None
