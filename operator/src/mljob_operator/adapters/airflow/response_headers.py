"""Reads the headers ``Retry-After`` and ``Date`` of an answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 120.0
"""The longest ``Retry-After`` in seconds that the operator honours. This is less than half of the
time for which the deletion of an MLJob waits by default until the MLJob's run is cancelled.
"""


def retry_after(header: str, now: datetime | None = None) -> float:
    """Return the seconds that the value of a header ``Retry-After`` asks for, at most
    ``MAX_RETRY_AFTER`` (120). Return 0 if the value is empty, invalid, or a date that has passed.

    Source: RFC 9110, 10.2.3.
    """
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", header):
        return min(float(header), MAX_RETRY_AFTER)
    moment = date_of(header)
    if moment is None:
        return 0.0
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), MAX_RETRY_AFTER)


def date_of(header: str) -> datetime | None:
    """Return the value of a header as a time in UTC, or None if the value is not a date."""
    try:
        moment = parsedate_to_datetime(header)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def clock_offset(date: datetime, now: datetime) -> timedelta:
    """Return how far the server's clock is ahead of the operator's clock. The result is negative if
    the server's clock is behind. A difference of up to two seconds counts as zero, because HTTP
    dates have no fractions of seconds.

    Args:
        date: The time in the header Date of an answer.
        now: The time of the operator's clock when the answer arrived.
    """
    offset = date - now
    return offset if abs(offset) > timedelta(seconds=2) else timedelta(0)
