"""Whether the brokers are connected that Airflows' events are on, by topic, for whoever tells people of it."""

from __future__ import annotations

from collections.abc import Callable

from ...ports import Link, Meter


class EventLinks:
    """The links of all topics. Everything runs in the event loop's thread.

    Args:
        brokers: As they are configured; None: there is no Kafka.
    """

    def __init__(self, brokers: str | None, meter: Meter) -> None:
        self._brokers = brokers
        self._meter = meter
        self._links: dict[str, Link] = {}
        self._changed: Callable[[str], None] = lambda _: None

    def serve(self, changed: Callable[[str], None]) -> None:
        """Say who is to know of a topic whose link has changed."""
        self._changed = changed

    def told(self, topic: str, link: Link | None) -> None:
        """How it is now; None: the topic is not read any more."""
        if link == self._links.get(topic):
            return
        if link is None:
            del self._links[topic]
        else:
            self._links[topic] = link
        self._meter.kafka_connected(topic, link.connected if link is not None else None)
        self._changed(topic)

    def of(self, topic: str) -> Link | None:
        """How it is with this topic; None: there is no Kafka."""
        if self._brokers is None:
            return None
        return self._links.get(topic) or Link(False, self._brokers)
