"""Makes values that come from outside of the view safe for a page: values in Kubernetes objects,
Events, logs, URLs and responses of the API server.

Jinja escapes HTML. This module handles what Jinja does not handle: control characters, invisible
characters, characters that reverse the direction of writing, values of an unexpected type, and very
long texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mljob_contract.times import Time

MAX_TEXT = 2_000
"""The maximum number of characters of a sentence on a page."""
MAX_VALUE = 8_000
"""The maximum number of characters of any text on a page, such as an output."""

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters other than tab and line break, invisible characters, characters that turn the
direction of writing (Unicode Technical Report 36), and halves of surrogate pairs.
"""
_TIME: TypeAdapter[datetime] = TypeAdapter(Time)


def clean(value: str) -> str:
    """Return the text with each unsafe character replaced by U+FFFD. Control characters, invisible
    characters and characters that reverse the direction of writing are unsafe.
    """
    return _UNSAFE.sub("\ufffd", value)


def cut(value: str, limit: int = MAX_TEXT) -> str:
    """Return the text, cut to ``limit`` characters. The last of these characters is an ellipsis if
    the text was cut.
    """
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"


def text_of(value: object, limit: int = MAX_TEXT) -> str:
    """Return ``value`` cut to ``limit`` characters if it is a text, else an empty text."""
    return cut(value, limit) if isinstance(value, str) else ""


def number_of(value: object) -> float | None:
    """Return the value as a float if it is a finite number, else None. True and False are not
    numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def count_of(value: object) -> int | None:
    """Return the value if it is a whole number of at least 0, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def time_of(value: object) -> datetime | None:
    """Return ``value`` as a time if it is an RFC 3339 text, else None."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        return _TIME.validate_python(value)
    except ValidationError:
        return None


def mapping_of(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is a mapping, else an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def items_of(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in ``value`` if it is a list. Other items are skipped. Yield nothing if
    ``value`` is not a list.
    """
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def is_web_link(url: str) -> bool:
    """Return whether a text is a link that a browser may follow: an http or https URL of a limited
    length, without white space, quotes and angle brackets.
    """
    return re.fullmatch(r"https?://[^\s\"'<>\x00-\x1f]{1,2000}", url, re.IGNORECASE) is not None
