"""Limits how many requests keep the last lines of a log in memory at the same time, for all
namespaces together and for each namespace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakValueDictionary

from .errors import Refusal

MAX_TAILS = 32
"""The maximum number of requests that keep the last lines of a log at the same time. Each of them
keeps at most ``log_sinks.MAX_TAIL_BYTES`` bytes.
"""
TAILS_OF_A_NAMESPACE = 8
"""The maximum number of such requests for the MLJobs of one namespace."""
WAIT_SECONDS = 30.0
"""The longest time for which a request waits until another request needs its lines no more, in
seconds.
"""


class TailPlace:
    """The place of one request among the requests that keep the last lines of a log.

    Args:
        semaphores: The limits that apply to the request. They are acquired in this order.
    """

    def __init__(self, *semaphores: asyncio.Semaphore) -> None:
        self._semaphores = semaphores
        self._taken: ExitStack | None = None

    async def take(self) -> None:
        """Take the place if the request does not have it yet. Wait for the place if necessary.

        Raises:
            Refusal: No place was free for ``WAIT_SECONDS``.
        """
        if self._taken is not None:
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                with ExitStack() as taken:
                    for semaphore in self._semaphores:
                        await semaphore.acquire()
                        taken.callback(semaphore.release)
                    self._taken = taken.pop_all()
        except TimeoutError:
            raise Refusal(
                429,
                f"Too many requests read the end of a log: {TAILS_OF_A_NAMESPACE} of one namespace may do so at the "
                f"same time, and {MAX_TAILS} of all namespaces. Try again later, or ask for the whole log without tail.",
            ) from None

    def free(self) -> None:
        """Give the place to another request. The call has no effect if the place is not taken."""
        if self._taken is not None:
            self._taken.close()
            self._taken = None


class TailPlaces:
    """Limits how many requests keep the last lines of a log at the same time: ``MAX_TAILS``, and
    ``TAILS_OF_A_NAMESPACE`` for the MLJobs of one namespace.
    """

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(MAX_TAILS)
        self._of_namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextmanager
    def place(self, namespace: str) -> Iterator[TailPlace]:
        """Yield the place of a request for a log of this namespace. The place is not taken yet, and
        is freed when the ``with`` block ends.
        """
        own = self._of_namespaces.get(namespace)
        if own is None:
            own = self._of_namespaces[namespace] = asyncio.Semaphore(TAILS_OF_A_NAMESPACE)
        # The namespace's limit comes first: a request that waits for it takes no place from others.
        place = TailPlace(own, self._all)
        try:
            yield place
        finally:
            place.free()
