"""Copies unreadable Kafka messages to another topic, the dead-letter topic.

All methods must be called in the thread of the consumer (:mod:`.kafka`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ..ports import Message

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
"""The maximum number of bytes of a dead letter's value, and of its key. Longer values and keys are
cut. If the value is cut, the header ``mljob_size`` has the number of bytes of the original value.
"""
KEPT_KB = 16 * 1024
"""The maximum number of KiB of dead letters that wait until a broker accepts them. Further dead
letters are dropped."""
LAST_SECONDS = 5.0
"""The maximum time in seconds that the end of the process waits for dead letters."""
PROPERTIES = {"acks": "all", "queue.buffering.max.kbytes": KEPT_KB}


class DeadLetters:
    """Sends copies of unreadable messages, called dead letters, to the dead-letter topic.

    Args:
        topic: The dead-letter topic.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._producer: Producer | None = None
        self._loss_logged = False

    def open(self, config: Mapping[str, Any]) -> None:
        """Create the Kafka producer that sends the dead letters.

        Args:
            config: librdkafka's properties for brokers and security.

        Raises:
            KafkaException: A property can't be used.
        """
        self._producer = Producer({**config, **PROPERTIES})

    def send(self, message: Message, why: str) -> None:
        """Send a copy of a message to the dead-letter topic, without waiting for a broker.

        If the copy can't be sent, no error is raised. Of several losses in a row, only the first
        is logged.

        The header ``mljob_source`` has the message's topic/partition/offset. The header
        ``mljob_error`` contains the argument ``why``. A value or key longer than ``MAX_BYTES``
        is cut.
        """
        topic, number = message.partition
        value, key = message.value or b"", message.key
        headers = {"mljob_error": why, "mljob_source": f"{topic}/{number}/{message.offset}"}
        if len(value) > MAX_BYTES:
            headers["mljob_size"] = str(len(value))
        try:
            if self._producer is None:
                raise BufferError("the producer could not be created")
            self._producer.produce(
                self._topic,
                value[:MAX_BYTES],
                key[:MAX_BYTES] if key is not None else None,
                headers=[(name, text.encode(errors="replace")) for name, text in headers.items()],
                on_delivery=lambda error, _: self._delivered(headers["mljob_source"], error),
            )
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            self._log_loss(headers["mljob_source"], error)

    def serve(self) -> None:
        """Let confluent-kafka call the producer's callbacks. The consumer's thread calls this
        method at short intervals.
        """
        if self._producer is not None:
            self._producer.poll(0)

    def close(self) -> None:
        """Wait for at most ``LAST_SECONDS`` until all dead letters are delivered. Log how many were
        not delivered. Later calls of :meth:`send` lose their dead letters.
        """
        if self._producer is not None:
            if left := self._producer.flush(LAST_SECONDS):
                log.warning("unreadable messages that could not be sent to the dead-letter topic in time: %d", left)
            self._producer = None

    def _delivered(self, position: str, error: KafkaError | None) -> None:
        if error is None:
            self._loss_logged = False
        else:
            self._log_loss(position, error)

    def _log_loss(self, position: str, error: object) -> None:
        """Log that a dead letter is lost. Further losses are logged only after a broker has
        accepted a dead letter.
        """
        if not self._loss_logged:
            self._loss_logged = True
            log.warning(
                "unreadable message %s, and further ones, can't be sent to the dead-letter topic: %s", position, error
            )
