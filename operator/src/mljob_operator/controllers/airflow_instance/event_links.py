"""The connections to the brokers of each topic, for metrics and the statuses of
AirflowInstances.
"""

from __future__ import annotations

from collections.abc import Callable

from ...ports import Link, Meter


class EventLinks:
    """The connections of all topics. Everything runs in the event loop's thread.

    Args:
        brokers: The configured brokers; None: Kafka is not configured.
        changed: Called with a topic whose connection has changed.
    """

    def __init__(self, brokers: str | None, meter: Meter, changed: Callable[[str], None]) -> None:
        self._brokers = brokers
        self._meter = meter
        self._links: dict[str, Link] = {}
        self._changed = changed

    def told(self, topic: str, link: Link | None) -> None:
        """Record a topic's connection; None: the topic is not read any more."""
        if link == self._links.get(topic):
            return
        if link is None:
            del self._links[topic]
        else:
            self._links[topic] = link
        self._meter.kafka_connected(topic, link.connected if link is not None else None)
        self._changed(topic)

    def of(self, topic: str) -> Link | None:
        """The connection of a topic; None: Kafka is not configured."""
        if self._brokers is None:
            return None
        return self._links.get(topic) or Link(False, self._brokers)
