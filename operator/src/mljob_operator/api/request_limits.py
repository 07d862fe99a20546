"""Limits how many requests mljob-api answers at the same time, for all users together and for each
user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import Refusal

SHARE_OF_A_USER = 4
"""The divisor for the limit of one user: with 4, one user may have a quarter of the requests that
all users together may have, but at least one request.
"""


class RequestLimits:
    """Limits how many requests mljob-api answers at the same time, for all users together and for
    each user.

    Args:
        limit: The maximum number of requests of all users together. The maximum number of requests
            of one user is ``limit`` divided by ``SHARE_OF_A_USER`` and rounded down, but at least
            1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limit_of_a_user = max(1, limit // SHARE_OF_A_USER)
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """The number of requests that mljob-api is answering now."""
        return self._open.total()

    @contextmanager
    def admit(self, user: str) -> Iterator[None]:
        """Count a request of the user as open while the ``with`` block runs.

        Raises:
            Refusal: All users together have reached their limit, or this user has reached the limit
                of one user.
        """
        if self.open >= self._limit:
            raise Refusal(429, f"mljob-api answers {self._limit} requests already. Try again later.")
        if self._open[user] >= self._limit_of_a_user:
            raise Refusal(
                429, f"You have {self._limit_of_a_user} requests open, as many as one user may. End one of them."
            )
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]
