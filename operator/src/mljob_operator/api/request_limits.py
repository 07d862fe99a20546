"""Limits how many requests mljob-api answers at the same time: of all users together, of each user,
and for the MLJobs of each namespace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from .errors import Refusal

USER = web.RequestKey("user", str)
"""The key under which a request has the name of its user."""
SHARE_OF_A_USER = 4
"""The divisor for the limit of one user: with 4, one user may have a quarter of the requests that
all users together may have, but at least one request.
"""


class RequestLimits:
    """Limits how many requests of a kind mljob-api answers at the same time.

    All users together may have ``limit`` requests. One user may have ``limit`` divided by
    ``SHARE_OF_A_USER`` and rounded down, but at least 1.

    A namespace gets a further request only if more requests are left for all namespaces than the
    namespace has open. So one namespace alone may have half of ``limit``, and two namespaces may
    have a third each. Whatever the users of some namespaces do, requests are left for others.

    Args:
        limit: The maximum number of requests of all users together.
        kind: What is limited, in the plural, for messages.
    """

    def __init__(self, limit: int, kind: str = "requests") -> None:
        self._limit = limit
        self._limit_of_a_user = max(1, limit // SHARE_OF_A_USER)
        self._kind = kind
        self._of_users: Counter[str] = Counter()
        self._of_namespaces: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """The number of requests that mljob-api is answering now."""
        return self._of_users.total()

    @contextmanager
    def admit(self, user: str, namespace: str) -> Iterator[None]:
        """Count a request as open while the ``with`` block runs.

        Args:
            user: The name of the user who sent the request.
            namespace: The namespace of the MLJob that the request is about.

        Raises:
            Refusal: The request would exceed the limit for all users, for this user, or for this
                namespace.
        """
        left = self._limit - self.open
        if left <= 0:
            raise Refusal(429, f"mljob-api has {self._limit} {self._kind} open, as many as it may. Try again later.")
        if self._of_users[user] >= self._limit_of_a_user:
            raise Refusal(
                429, f"You have {self._limit_of_a_user} {self._kind} open, as many as one user may. End one of them."
            )
        if self._of_namespaces[namespace] >= left:
            raise Refusal(
                429,
                f"For MLJobs of namespace {namespace}, {self._of_namespaces[namespace]} {self._kind} are open. The "
                f"{left} that are left are for other namespaces. Try again later.",
            )
        counted = ((self._of_users, user), (self._of_namespaces, namespace))
        for counter, key in counted:
            counter[key] += 1
        try:
            yield
        finally:
            for counter, key in counted:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
