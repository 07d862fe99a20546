"""Decides how long a reader of a log or a history tries again after failed requests to mljob-api."""

from __future__ import annotations

from time import monotonic
from typing import Final

from .errors import ApiError, PluginFailed, RunApiMissing, Unavailable
from .retries import wait_seconds

PATIENCE_SECONDS: Final = 600.0
"""How long a reader that has begun to follow a log or a history tries to go on, in seconds. An API
server may restart in this time, or a laptop's network may come back after the laptop has slept.
"""
LASTED_SECONDS: Final = 10.0
"""The minimum duration of a connection without a line that resets the count of failures, in
seconds.
"""


class ReaderRetries:
    """The failures in a row of one reader.

    Args:
        follow: Whether the reader waits for later lines.
        tries: The maximum number of requests in a row that may fail. For a reader that follows,
            this limit holds until the first answer has begun. After that,
            :data:`PATIENCE_SECONDS` is the limit.
    """

    def __init__(self, *, follow: bool, tries: int) -> None:
        self._follow = follow
        self._tries = tries
        self._was_open = False
        self._opened_at: float | None = None
        self._failures = 0
        self._failing_since: float | None = None

    def asked(self) -> None:
        """Record that the reader sends a request."""
        self._opened_at = None

    def opened(self) -> None:
        """Record that mljob-api has begun to answer."""
        self._was_open, self._opened_at = True, monotonic()

    def received(self) -> None:
        """Record that the reader has got on: the failures before don't count any more."""
        self._failures, self._failing_since = 0, None

    def wait_after(self, error: ApiError) -> float | None:
        """Return the seconds to wait between a failed request and the next request. Return None if
        the reader must not send another request: requests have failed too often or for too long; or
        no earlier answer had begun, and mljob-api is not installed, or the exec credential plugin
        failed. Another run of the plugin may ask the person to log in again.
        """
        if isinstance(error, PluginFailed) and not self._was_open:
            return None
        now = monotonic()
        if self._opened_at is not None and now - self._opened_at >= LASTED_SECONDS:
            self.received()
        self._failures += 1
        self._failing_since = now if self._failing_since is None else self._failing_since
        is_installed = self._was_open or isinstance(error, Unavailable) or not isinstance(error, RunApiMissing)
        if self._follow and self._was_open:
            has_patience = now - self._failing_since < PATIENCE_SECONDS
        else:
            has_patience = self._failures < self._tries
        return wait_seconds(self._failures, error.retry_after) if is_installed and has_patience else None
