"""Makes values safe before the view shows them on a page. The values come from outside of the view,
for example from Kubernetes objects and logs.

Jinja escapes HTML. This module replaces, cuts or drops what Jinja lets through: control characters,
invisible characters, characters that reverse the direction of writing, values of an unexpected
type, and very long texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mljob_contract.times import Time

from ...hidden_characters import HIDDEN

MAX_TEXT = 2_000
"""The maximum number of characters of a sentence on a page."""
MAX_VALUE = 8_000
"""The maximum number of characters of any text on a page, such as an output."""

_UNSAFE = rf"\x00-\x08\x0b-\x1f{HIDDEN}"
"""Control characters other than tab and line feed, and the other hidden characters. The text is the
inside of a set in a regular expression.
"""
_UNSAFE_CHARACTER = re.compile(f"[{_UNSAFE}]")
WEB_LINK = rf"https?://[^\s\"'<>{_UNSAFE}]{{1,2000}}"
"""A regular expression for a URL that a page may show as a link."""
_TIME: TypeAdapter[datetime] = TypeAdapter(Time)


def clean(value: str) -> str:
    """Return the text with each unsafe character replaced by U+FFFD. Unsafe are control characters
    other than tab and line feed, invisible characters such as a zero-width space, characters that
    change the direction of writing, and halves of surrogate pairs.
    """
    return _UNSAFE_CHARACTER.sub("\ufffd", value)


def cut(value: str, limit: int = MAX_TEXT) -> str:
    """Return the text, cut to at most ``limit`` characters. The last character of a cut text is an
    ellipsis.
    """
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"


def text_of(value: object, limit: int = MAX_TEXT) -> str:
    """If ``value`` is a str, return ``value``, cut to at most ``limit`` characters (:func:`cut`).
    Otherwise return an empty text.
    """
    return cut(value, limit) if isinstance(value, str) else ""


def count_of(value: object) -> int | None:
    """Return the value if it is an int of at least 0, else None. True and False are not numbers."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def time_of(value: object) -> datetime | None:
    """If ``value`` is a str with a time, such as ``2026-01-31T12:00:00Z``, return the time as a
    datetime. The time must have a UTC offset, and be in the years 1900 to 2999. For any other
    value, return None.
    """
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
    """Yield the mappings in the list ``value``. Yield nothing if ``value`` is not a list."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def is_web_link(url: str) -> bool:
    """Return whether a page may show ``url`` as a link. The URL must begin with ``http://`` or
    ``https://``, and 1 to 2,000 characters must follow. White space, quotation marks (``"`` and
    ``'``), angle brackets and the unsafe characters of :func:`clean` are not allowed.
    """
    return re.fullmatch(WEB_LINK, url, re.IGNORECASE) is not None
