"""The topic for messages that can't be read. All of it runs in the consumer's thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from ..ports import Message

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
"""Of the value and of the key of a message in the topic; the rest is cut off, and a header has the size that it had."""
KEPT_KB = 16 * 1024
"""Of dead letters that no broker has taken yet; further ones are dropped."""
PROPERTIES = {"acks": "all", "queue.buffering.max.kbytes": KEPT_KB}


class DeadLetters:
    """Sends them.

    Args:
        topic: Where they go.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._producer: Producer | None = None
        self._lost = False

    def open(self, config: Mapping[str, Any]) -> None:
        """Make a producer.

        Raises:
            KafkaException: A property can't be used.
        """
        self._producer = Producer({**config, **PROPERTIES})

    def send(self, message: Message, why: str) -> None:
        """Send a message on, with where it was and why as headers; it neither waits nor raises."""
        topic, number = message.partition
        value, key = message.value or b"", message.key
        headers = {"mljob_error": why, "mljob_source": f"{topic}/{number}/{message.offset}"}
        if len(value) > MAX_BYTES:
            headers["mljob_size"] = str(len(value))
        try:
            if self._producer is None:
                raise BufferError("no producer could be made")
            self._producer.produce(
                self._topic,
                value[:MAX_BYTES],
                key[:MAX_BYTES] if key is not None else None,
                headers=[(name, text.encode(errors="replace")) for name, text in headers.items()],
            )
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            self._lament(headers["mljob_source"], error)
        else:
            self._lost = False

    def serve(self) -> None:
        """Let the producer tell of errors and ask for tokens; to be called often."""
        if self._producer is not None:
            self._producer.poll(0)

    def close(self) -> None:
        """Wait for what is under way, for a while."""
        if self._producer is not None:
            self._producer.flush(5)
            self._producer = None

    def _lament(self, place: str, error: Exception) -> None:
        """One is lost; said once until one is taken again."""
        if not self._lost:
            self._lost = True
            log.warning("message %s and more like it are not sent to the dead-letter topic: %s", place, error)
