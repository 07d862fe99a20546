"""The values that the Kubernetes API server can store in a status, and their size in etcd.

Airflow's values come from Python, whose JSON allows NaN, integers of more than 64 bits, and lone
surrogates. The Kubernetes API server can't store these values. A status is changed by JSON merge
patches (RFC 7396), in which null removes a field, so no field of a status can have the value null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 32
"""The maximum number of levels of a value that is stored. The Kubernetes API server accepts more
levels, but people could not read them.
"""
MAX_BYTES = 6
"""The maximum size of one character in etcd, in bytes. An escape such as ``\\u0000`` has six
bytes.
"""

_INT64 = 1 << 63
_LONGER = {
    # Go writes an escape of six characters, so that the JSON may be part of HTML (encoding/json,
    # "HTMLEscape").
    **dict.fromkeys("<>&", 5),
    **dict.fromkeys("\u2028\u2029", 3),
    # Python has escapes of two characters for these control characters; Go writes six characters.
    **dict.fromkeys((r"\b", r"\f"), 4),
    # Go writes numbers from 1e-6 to 1e21 without an exponent, unlike Python (encoding/json,
    # "floatEncoder").
    **dict.fromkeys(("e+16", "e+17", "e+18", "e+19", "e+20"), 17),
    **dict.fromkeys(("e-05", "e-06"), 5),
}
"""For each of these texts, the largest number of bytes by which Go's JSON can be longer than
Python's, for each occurrence of the text in Python's JSON.
"""
_MARKS = ("<", ">", "&", "\u2028", "\u2029", "\\", "e+", "e-0")
"""Short texts. Each key of ``_LONGER`` contains one of these texts. Most JSON contains none of
these texts, and needs no further search.
"""
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def stored_size(value: Any) -> int:
    """Return the size of a value's JSON in etcd, in bytes. The value must not have lone surrogates,
    which :func:`whole` replaces.

    The result is never too small. For some numbers with an exponent and for some texts, the result
    is a little too large.
    """
    text = _encoded(value)
    size = len(text.encode())
    if any(mark in text for mark in _MARKS):
        size += sum(more * text.count(longer) for longer, more in _LONGER.items())
    return size


def whole(text: str) -> str:
    """Return the text with a question mark for each lone surrogate, because UTF-8 can't encode lone
    surrogates.
    """
    return text.encode("utf-8", "replace").decode()


def cut(text: str, length: int, size: int | None = None) -> str:
    """Return the text without whitespace at both ends, cut to ``length`` characters and ``size``
    bytes. A text that was cut ends in three dots. Lone surrogates are replaced (:func:`whole`).

    Args:
        text: The text.
        length: The maximum number of characters.
        size: The maximum size of the text's JSON in etcd without the quotes, in bytes. None for no
            limit.
    """
    text = whole(text.strip())
    shown = text if len(text) <= length else text[: length - 3] + "..."
    if size is None or len(shown) * MAX_BYTES <= size:
        return shown
    while shown != "..." and (excess := stored_size(shown) - 2 - size) > 0:
        # Each removed character frees at most ``MAX_BYTES`` bytes, so one step never removes too
        # many.
        shown = shown[: -3 - max(1, excess // MAX_BYTES)] + "..."
    return shown


def storable(value: Any) -> Any:
    """Return the value in a form that the Kubernetes API server can store.

    Numbers that JSON or Go can't represent, and values of types that JSON lacks, become text. Nulls
    in objects are removed, and lone surrogates are replaced (:func:`whole`).

    Raises:
        ValueError: The value has more than ``MAX_DEPTH`` levels. A value that is neither an object
            nor a list has one level.
    """
    return _storable(value, MAX_DEPTH)


def _storable(value: Any, depth: int) -> Any:
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
            return {whole(str(key)): _storable(item, depth - 1) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_storable(item, depth - 1) for item in value]
        case _:
            return whole(str(value))
