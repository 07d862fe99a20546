"""Limits the number of Kubernetes Events that wait to be recorded.

Events have the lowest priority of all writes, and a namespace may record none for long, for example
because an admission webhook of the namespace does not answer. So Events may pile up. The Events of
one namespace must not leave out the Events of another namespace.
"""

from __future__ import annotations

from collections import Counter

from ...core.status.events import WARNING, KubeEvent

MAX_EVENTS_OF_NAMESPACE = 2000
"""The maximum number of Events of one namespace that are not recorded yet."""

MAX_EVENTS = 10_000
"""The number of Events that are not recorded yet, in all namespaces together, from which each
namespace may have only an equal part of this number.
"""

WARNING_FACTOR = 2
"""Warnings are left out only from this multiple of each limit, because they matter more than other
Events.
"""


class EventLimits:
    """Counts the Events that are not recorded yet: the Events that wait, and the Events whose request
    is under way.
    """

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()

    def begin(self, namespace: str, event: KubeEvent) -> bool:
        """Count an Event that is to be recorded, and return True. Call :meth:`end` when the Event is
        recorded or given up. If too many Events wait, count nothing and return False, so that the
        caller leaves the Event out.
        """
        if not self._has_room(namespace, WARNING_FACTOR if event.type == WARNING else 1):
            return False
        self._numbers[namespace] += 1
        return True

    def end(self, namespace: str) -> None:
        """End the count of an Event."""
        self._numbers[namespace] -= 1
        if not self._numbers[namespace]:
            del self._numbers[namespace]

    def _has_room(self, namespace: str, factor: int) -> bool:
        number = self._numbers.get(namespace, 0)
        if number == 0:
            return True
        if number >= factor * MAX_EVENTS_OF_NAMESPACE:
            return False
        equal_part = MAX_EVENTS // len(self._numbers)
        return number < factor * equal_part or self._numbers.total() < factor * MAX_EVENTS
