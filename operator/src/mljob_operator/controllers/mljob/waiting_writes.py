"""The waiting writes of one priority. The namespaces of the MLJobs take turns, so that a namespace
with many waiting writes does not delay the writes of another namespace.

Source: round robin, as in fair queuing (Nagle, RFC 970).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

TakeTurn = Callable[[], None]
"""A function that is called when a write gets its turn."""


class WaitingWrites:
    """The waiting writes, by namespace. Within a namespace, the write that has waited longest comes
    first. After a write, its namespace goes to the end of the order of the namespaces.
    """

    def __init__(self) -> None:
        self._number = 0
        # Thousands of writes may wait. The first entry of a plain dict takes longer to find after
        # each removal of a first entry.
        self._namespaces: OrderedDict[str, OrderedDict[object, TakeTurn]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many writes wait."""
        return self._number

    def number(self, namespace: str) -> int:
        """Return how many writes of a namespace wait."""
        return len(self._namespaces.get(namespace, ()))

    def waits(self, namespace: str, token: object) -> bool:
        """Return whether a write waits. The token identifies the write."""
        return token in self._namespaces.get(namespace, ())

    def add(self, namespace: str, token: object, take_turn: TakeTurn) -> None:
        """Add a write.

        Args:
            namespace: The namespace of the MLJob that the write is about.
            token: Identifies the write.
            take_turn: Is called by the caller of :meth:`pop`.
        """
        if (writes := self._namespaces.get(namespace)) is None:
            writes = self._namespaces[namespace] = OrderedDict()
        writes[token] = take_turn
        self._number += 1

    def remove(self, namespace: str, token: object) -> None:
        """Remove a write, if the write waits."""
        writes = self._namespaces.get(namespace)
        if writes is not None and writes.pop(token, None) is not None:
            self._number -= 1
            if not writes:
                del self._namespaces[namespace]

    def next_namespace(self, may_send: Callable[[str], bool]) -> str | None:
        """Return the first namespace in the order that may send a write. Return None if none of the
        namespaces may.
        """
        return next(filter(may_send, self._namespaces), None)

    def pop(self, namespace: str) -> TakeTurn:
        """Remove the first write of a namespace with waiting writes, and return its ``take_turn``."""
        writes = self._namespaces[namespace]
        _, take_turn = writes.popitem(last=False)
        self._number -= 1
        if writes:
            self._namespaces.move_to_end(namespace)
        else:
            del self._namespaces[namespace]
        return take_turn
