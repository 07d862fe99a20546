"""Times in MLJobs and AirflowInstances: RFC 3339 date-times in the years 1900 to 2999.

The Kubernetes API server accepts some date-times that Python's datetime refuses: times with a long
UTC offset, and times in the year 0. In a long UTC offset, the hours are 24 or the minutes are 60,
such as in ``+24:30`` and ``+01:60``. This module converts a time with a long offset to UTC. This
module refuses years before 1900 and after 2999, so that a deadline, which is computed from a time,
stays within the range of datetime.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

FIRST_YEAR, LAST_YEAR = 1900, 2999
"""The allowed years of a time, in the time's own offset."""

_LONG_OFFSET = re.compile(r"(.*[0-9])([+-])(24):([0-5][0-9]|60)|(.*[0-9])([+-])([01][0-9]|2[0-3]):(60)", re.ASCII)
"""A time whose offset has 24 hours or 60 minutes, which Go accepts and Python does not."""


def _read(value: object, read: ValidatorFunctionWrapHandler) -> datetime:
    """Validate a value of the type :data:`Time`, and return it as a datetime.

    ``read`` is pydantic's validator of datetimes. ``read`` refuses a UTC offset whose hours are 24
    or whose minutes are 60, so this function itself converts a time with such an offset to UTC.

    Raises:
        ValueError: The value is not a date-time, has no offset, or has a year before 1900 or after
            2999.
    """
    try:
        at: datetime = read(value)
    except ValidationError:
        converted = _convert_long_offset(value)
        if converted is None:
            raise
        at = converted
    if at.tzinfo is None:
        raise ValueError("must have a time zone: Z, or an offset such as +01:00")
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return at


def _convert_long_offset(value: object) -> datetime | None:
    """Convert a text that ends with a UTC offset whose hours are 24 or whose minutes are 60, such
    as ``+01:60``, to a time in UTC. Return None if the value is not a text with such an offset.

    Raises:
        ValueError: The text before the offset is not a date-time, or the time in UTC is outside of
            the range of datetime.
    """
    match = _LONG_OFFSET.fullmatch(value) if isinstance(value, str) and len(value) < 64 else None
    if match is None:
        return None
    text, sign, hours, minutes = (part for part in match.groups() if part is not None)
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    try:
        return at - offset if sign == "+" else at + offset
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from None


Time = Annotated[datetime, WrapValidator(_read)]
"""A time with a UTC offset, in the years 1900 to 2999."""
