"""The rules of retries: which requests are sent again, and after how long.

Source: client-go, ``rest/with_retry.go``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

MAX_TRIES: Final = 5
"""The maximum number of times that a request is sent."""
MAX_WAIT_SECONDS: Final = 30.0
"""The longest wait that an answer may ask for with ``Retry-After``, in seconds."""
_FIRST_SECONDS: Final = 0.2
_READ_AGAIN: Final = frozenset({500, 502, 503, 504})


def is_worth_another_try(code: int, headers: Mapping[str, str], *, repeatable: bool) -> bool:
    """Return whether the client sends a refused request again.

    Args:
        code: The HTTP status.
        headers: The answer's headers.
        repeatable: Whether sending the request twice has the same effect as sending it once.
    """
    if code == 429 or (code >= 500 and "retry-after" in headers):
        return True  # the API server says so before it acts
    return repeatable and code in _READ_AGAIN


def wait_seconds(failures: int, retry_after: float | None = None) -> float:
    """Return how many seconds to wait before the next request, after a number of failures in a row.
    The wait is 0.2 seconds after the first failure, and doubles with each further failure, up to 30
    seconds. A longer ``retry_after`` replaces this wait, up to 30 seconds. At most a quarter is
    added at random, so that many clients don't send requests at the same time.
    """
    asked = min(retry_after, MAX_WAIT_SECONDS) if retry_after is not None else 0.0
    own: float = min(_FIRST_SECONDS * 2 ** min(failures - 1, 20), MAX_WAIT_SECONDS)
    return max(asked, own) * random.uniform(1.0, 1.25)  # noqa: S311 - not for security


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the header ``Retry-After``, or None without a valid number. The API
    server sends no dates in this header.
    """
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
