"""Which values the API server can store in a status, and how many bytes they take there.

A status is JSON in etcd, written by Go's encoder and changed by merge patches (RFC 7396). Airflow's
values come from Python, whose JSON allows more: NaN, integers of any size, halves of surrogate
pairs. In a merge patch, null means absent, so null can't be stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 32
"""How many levels of a value are stored. The API server accepts more, but nobody reads them."""
MAX_BYTES = 6
"""No character takes more bytes in etcd: an escape such as ``\\u0000`` has six."""

_INT64 = 1 << 63
_LONGER = {
    # Go writes six characters, so that JSON can be put into HTML (encoding/json, "HTMLEscape").
    **dict.fromkeys("<>&", 5),
    **dict.fromkeys("\u2028\u2029", 3),
    # A control character for which Python has an escape of two characters.
    **dict.fromkeys((r"\b", r"\f"), 4),
    # Go writes numbers from 1e-6 to 1e21 without an exponent, unlike Python (encoding/json,
    # "floatEncoder").
    **dict.fromkeys(("e+16", "e+17", "e+18", "e+19", "e+20"), 17),
    **dict.fromkeys(("e-05", "e-06"), 5),
}
"""How many bytes more than Python's encoder Go's encoder writes, by text in Python's JSON."""
_MARKS = ("<", ">", "&", "\u2028", "\u2029", "\\", "e+", "e-0")
"""A text of ``_LONGER`` contains one of these, and most JSON contains none."""
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def stored_size(value: Any) -> int:
    """The bytes of a value's JSON in etcd. The result is slightly too large for texts that look
    like numbers.
    """
    text = _encoded(value)
    size = len(text.encode())
    if any(mark in text for mark in _MARKS):
        size += sum(more * text.count(longer) for longer, more in _LONGER.items())
    return size


def whole(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-8 can't encode."""
    return text.encode("utf-8", "replace").decode()


def cut(text: str, length: int, size: int | None = None) -> str:
    """The text, cut to at most ``length`` characters and ``size`` bytes of JSON. A text that was
    cut ends in three dots.
    """
    text = whole(text.strip())
    shown = text if len(text) <= length else text[: length - 3] + "..."
    if size is None or len(shown) * MAX_BYTES <= size:
        return shown
    while shown != "..." and (excess := stored_size(shown) - 2 - size) > 0:
        # One step never cuts more than necessary.
        shown = shown[: -3 - max(1, excess // MAX_BYTES)] + "..."
    return shown


def storable(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value as the API server can store it. Numbers that JSON or Go can't represent become
    text, and nulls in objects are removed.

    Raises:
        ValueError: The value is nested too deeply.
    """
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    match value:
        case bool() | None:
            return value
        case str():
            return whole(value)
        case int():
            return value if -_INT64 <= value < _INT64 else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {whole(str(key)): storable(item, depth - 1) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [storable(item, depth - 1) for item in value]
        case _:
            return whole(str(value))
