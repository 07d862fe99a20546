"""Times in our resources: whatever the API server takes for an RFC 3339 date-time, within years that can be reckoned with.

The API server accepts more than Python does: offsets of 24 hours (Go's ``time.Parse``), the year 0. An offset is read as it is meant; a time so far
from ours that adding a deadline to it may leave the calendar does not fit, and the message says so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

FIRST_YEAR, LAST_YEAR = 1900, 2999
"""Of a time, in its own offset."""

_LONG_OFFSET = re.compile(r"(.*[0-9])([+-])(24):([0-5][0-9]|60)|(.*[0-9])([+-])([01][0-9]|2[0-3]):(60)", re.ASCII)
"""Offsets that Go accepts and Python does not: 24 hours, and 60 minutes."""


def _with_offset(value: object) -> object:
    match = _LONG_OFFSET.fullmatch(value) if isinstance(value, str) and len(value) < 64 else None
    if match is None:
        return value
    text, sign, hours, minutes = (part for part in match.groups() if part is not None)
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    try:
        return at - offset if sign == "+" else at + offset
    except OverflowError:
        raise ValueError("is not in the calendar") from None


def _usable(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("needs a time zone: Z, or an offset like +01:00")
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return at


Time = Annotated[datetime, BeforeValidator(_with_offset), AfterValidator(_usable)]
"""A time with its offset."""
