"""The rules for sending requests again.

One rule is that of client-go (``rest/with_retry.go``): if an answer has the header ``Retry-After``
and its status is 429 or 5xx, the client repeats the request. The other rules are the client's own.
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
    """Return whether to send a request again after an error. Return True in these cases:

    - The status is 429.
    - The status is 5xx, and the answer has the header ``Retry-After``.
    - The status is 500, 502, 503 or 504, and the request is repeatable.

    Args:
        code: The HTTP status of the answer.
        headers: The headers of the answer. Their names must be in lower case, or the mapping must
            ignore the case.
        repeatable: Whether sending the request twice has the same effect as sending it once.
    """
    if code == 429 or (code >= 500 and "retry-after" in headers):
        return True  # the API server says so before it acts
    return repeatable and code in _READ_AGAIN


def wait_seconds(failures: int, retry_after: float | None = None) -> float:
    """Return how many seconds to wait before the next request. The wait is 0.2 seconds after the
    first failure, and doubles with each further failure. A longer ``retry_after`` replaces this
    wait. The limit is 30 seconds. Finally, 0 to 25 percent are added at random.

    Args:
        failures: The number of failed requests in a row, from 1.
        retry_after: The seconds of the header ``Retry-After``, or None.
    """
    asked = min(retry_after, MAX_WAIT_SECONDS) if retry_after is not None else 0.0
    own: float = min(_FIRST_SECONDS * 2 ** min(failures - 1, 20), MAX_WAIT_SECONDS)
    return max(asked, own) * random.uniform(1.0, 1.25)  # noqa: S311 - not for security


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the header ``Retry-After``. Return None if the header is missing,
    negative, infinite or not a number. The API server sends no dates in this header.
    """
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
