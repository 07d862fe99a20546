"""Turns values of Python programs into JSON values, before they are sent, and compares JSON values."""

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


def same_json(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON. As in JSON, true is not the number 1. The numbers
    1 and 1.0 are the same, because the API server stores both as 1.
    """
    pairs = [(one, other)]
    while pairs:  # without recursion, because a conf may have very many levels
        one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pairs += [(value, other[key]) for key, value in one.items()]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif isinstance(one, bool) != isinstance(other, bool) or one != other:
            return False
    return True


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
