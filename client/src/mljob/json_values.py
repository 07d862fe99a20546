"""Turns values of Python programs into JSON values, before they are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidArgument


def json_value(given: Any, path: str) -> Any:
    """Return a value as the JSON value that will be sent. Arrays and numbers of NumPy, and other
    objects with a method ``tolist``, become lists and numbers.

    Args:
        given: The value.
        path: The path of the value for the error, such as ``conf``. If the value is a mapping, the
            error also names the first key whose value is wrong.

    Raises:
        InvalidArgument: JSON can't hold the value.
    """
    try:
        return json.loads(_dump(given))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{_unfit(given, path)}: {error}. Give what JSON can hold: text, numbers, booleans, lists and objects."
        ) from None


def listed(value: Any) -> Any:
    """Return ``value.tolist()`` if the value has this method, as arrays and numbers of NumPy have.
    Else return the value.
    """
    convert = getattr(value, "tolist", None)
    return convert() if callable(convert) else value


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False, default=_encodable)


def _encodable(value: Any) -> Any:
    if (found := listed(value)) is value:
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return found


def _unfit(given: Any, path: str) -> str:
    for key, value in given.items() if isinstance(given, Mapping) else ():
        try:
            _dump(value)
        except (TypeError, ValueError, RecursionError):
            return f"{path}.{str(key)[:100]}"
    return path
