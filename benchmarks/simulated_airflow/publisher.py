"""Sends the simulated Airflow's messages to a Kafka topic. Some messages are lost, late or sent
twice on purpose.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Delivered

from .events import Message
from .faults import FaultPlan

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0


class Outlet(Protocol):
    """A destination for messages about runs and tasks, for example Kafka."""

    def publish(self, messages: Iterable[Message]) -> None:
        """Send the messages in the given order."""


class Publisher:
    """Sends messages to a Kafka topic. :meth:`publish` needs a running event loop.

    Args:
        brokers: Kafka's bootstrap servers.
        topic: The topic.
        plan: Decides which messages are lost, sent twice or sent late.

    Attributes:
        sent: How many messages were passed to Kafka's client. A message that is sent twice counts
            twice.
        undelivered: How many messages Kafka's client or the brokers did not accept.
        lost: How many messages were left out on purpose.
    """

    def __init__(self, brokers: str, topic: str, plan: FaultPlan) -> None:
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1, "acks": 1})
        self._topic = topic
        self._plan = plan
        self.sent = self.undelivered = self.lost = 0
        self._failures_logged = False

    def publish(self, messages: Iterable[Message]) -> None:
        """Send messages, with faults from the plan."""
        for message in messages:
            delays = self._plan.of_event()
            self.lost += not delays
            for delay in delays:
                if delay:
                    asyncio.get_running_loop().call_later(delay, self._send, message)
                else:
                    self._send(message)
        self._producer.poll(0)

    def close(self) -> None:
        """Flush Kafka's client, but don't close the client: wait at most ``FLUSH_SECONDS`` until
        the brokers have received all messages that were passed to the client. The method does not
        wait for late messages that were not passed to the client yet.
        """
        if self._producer.flush(FLUSH_SECONDS):
            log.warning("%d events did not reach Kafka within %.0f s", len(self._producer), FLUSH_SECONDS)

    def _send(self, message: Message) -> None:
        try:
            self._producer.produce(
                self._topic,
                message.value,
                message.key,
                headers=list(message.headers) or None,
                on_delivery=self._delivered,
            )
        except BufferError:
            # As Airflow's producer does: a full queue loses the event.
            self.undelivered += 1
        else:
            self.sent += 1

    def _delivered(self, error: KafkaError | None, _: Delivered) -> None:
        if error is not None:
            self.undelivered += 1
            if not self._failures_logged:
                self._failures_logged = True
                log.warning("an event did not reach Kafka: %s", error)
