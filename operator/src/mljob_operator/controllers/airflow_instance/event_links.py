"""The state of the Kafka connection of each topic, for metrics and AirflowInstances' statuses."""

from __future__ import annotations

from collections.abc import Callable

from ...ports import Link, Meter


class EventLinks:
    """The state of the Kafka connection of each topic.

    Args:
        brokers: The addresses of the brokers. None if Kafka is not configured.
        meter: Records each change in the metric ``mljob_kafka_connected``.
        changed: Called with the topic after each change.
    """

    def __init__(self, brokers: str | None, meter: Meter, changed: Callable[[str], None]) -> None:
        self._brokers = brokers
        self._meter = meter
        self._links: dict[str, Link] = {}
        self._changed = changed

    def update(self, topic: str, link: Link | None) -> None:
        """Record the state of a topic's connection.

        Args:
            topic: The name of the topic.
            link: The state, or None if the operator no longer reads the topic.
        """
        if link == self._links.get(topic):
            return
        if link is None:
            del self._links[topic]
        else:
            self._links[topic] = link
        self._meter.kafka_connected(topic, link.connected if link is not None else None)
        self._changed(topic)

    def of(self, topic: str) -> Link | None:
        """Return the state of a topic's connection. None if Kafka is not configured.

        A topic without a recorded state counts as not connected.
        """
        if self._brokers is None:
            return None
        return self._links.get(topic) or Link(False, self._brokers)
