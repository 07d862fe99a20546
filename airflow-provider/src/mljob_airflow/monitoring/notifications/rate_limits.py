"""Waits and sends a request to Slack again, when Slack answers 429. The handler of Slack's SDK waits
however long Slack asks for, and fails if Slack asks in an unusual way.
"""

from __future__ import annotations

import random
import time
from typing import Any

from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState

DEFAULT_SECONDS = 1
"""The wait if ``Retry-After`` is missing, or is not a number of seconds."""


class BoundedRateLimitHandler(RateLimitErrorRetryHandler):  # type: ignore[misc]
    """Retries requests after the seconds in ``Retry-After``, while the sum of all waits is within a
    bound.

    Args:
        max_retry_count: The maximum number of retries of one request.
        max_wait_seconds: The maximum sum of the waits of all requests, in seconds.
    """

    def __init__(self, max_retry_count: int, max_wait_seconds: float) -> None:
        super().__init__(max_retry_count)
        self._seconds_left = max_wait_seconds

    def _can_retry(self, *, response: HttpResponse | None = None, **request: Any) -> bool:
        return super()._can_retry(response=response, **request) and _retry_after(response) <= self._seconds_left

    def prepare_for_next_attempt(
        self, *, state: RetryState, response: HttpResponse | None = None, **_request: Any
    ) -> None:
        """Wait, and request the next attempt."""
        seconds = _retry_after(response)
        self._seconds_left -= seconds
        state.next_attempt_requested = True
        time.sleep(seconds + random.random())  # noqa: S311 - spreads the retries of several processes
        state.increment_current_attempt()


def _retry_after(response: HttpResponse | None) -> int:
    headers = response.headers if response is not None else {}
    texts = [values[0] for name, values in headers.items() if name.lower() == "retry-after" and values]
    return int(texts[0]) if texts and texts[0].isascii() and texts[0].isdigit() else DEFAULT_SECONDS
