"""Limits the number of concurrent requests, for all users together and for each user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import Refusal

SHARE_OF_A_USER = 4
"""The number of users who can take all places together: one user may have a quarter of the places,
but at least one place.
"""


class Places:
    """A limited number of places for concurrent requests. Each request takes one place.

    Args:
        limit: The number of places.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limit_of_a_user = max(1, limit // SHARE_OF_A_USER)
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """The number of places that are taken now."""
        return self._taken.total()

    @contextmanager
    def take(self, user: str) -> Iterator[None]:
        """Take a place while the block runs.

        Raises:
            Refusal: All places are taken, or the user has as many as one user may have.
        """
        if self.taken >= self._limit:
            raise Refusal(429, f"mljob-api answers {self._limit} requests already. Try again later.")
        if self._taken[user] >= self._limit_of_a_user:
            raise Refusal(
                429, f"You have {self._limit_of_a_user} requests open, as many as one user may. End one of them."
            )
        self._taken[user] += 1
        try:
            yield
        finally:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]
