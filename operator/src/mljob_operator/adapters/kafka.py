"""The event topic, through confluent-kafka.

librdkafka's consumer blocks, so it has a thread of its own, which waits for one message, takes what else has arrived, and hands all of it to
the event loop. ``consume(n, timeout)`` would wait for a full batch until the timeout; ``poll`` then ``consume(n, 0)`` has no such delay.

Everything that is done to the consumer is done in that thread: since confluent-kafka 2.16 a call from another one waits until ``poll``
returns, and finds the next ``poll`` begun (confluent-kafka-python #2322). In the event loop that would be the end of everything.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ..core.offsets import Partition
from ..ports import Message

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How long the thread waits for a message before it commits what is to be committed, or ends."""
BATCH = 500
DEAD_LETTER_BYTES = 64 * 1024
"""Of the value and of the key of a message in the dead-letter topic; the rest is cut off, and a header has the size that it had."""
DEAD_LETTERS_KEPT_KB = 16 * 1024
"""Of dead letters that no broker has taken yet; further ones are dropped."""
SESSION_TIMEOUT_MS = 10_000
"""Milliseconds without a heartbeat, which is sent every 3 s, after which another member of the group gets the partitions."""


def refusal(config: Mapping[str, Any]) -> str | None:
    """What librdkafka has against these settings, in its own words; None: nothing. Brokers are not asked."""
    try:
        Consumer({**config, "group.id": "none", "log_level": 0}, logger=logging.getLogger("librdkafka")).close()
    except KafkaException as error:
        return str(error.args[0].str()).removeprefix("Failed to create consumer: ")
    return None


class KafkaEvents:
    """The topic, read as one member of a consumer group.

    Args:
        config: librdkafka's settings: brokers, security.
        topic: Where events are.
        group_id: Members of one group share the partitions.
        dead_letter_topic: Where unreadable messages go; None: nowhere.
    """

    def __init__(
        self, config: Mapping[str, Any], *, topic: str, group_id: str, dead_letter_topic: str | None = None
    ) -> None:
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic
        self._consumer = Consumer(
            {
                **config,
                "group.id": group_id,
                "enable.auto.commit": False,
                # Without a committed offset there is nothing to catch up with: the resync reads the level from REST.
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 100,
                # Of a process that was killed, the broker keeps the partitions for this long; by default that is 45 s, in which statuses
                # would come from the resync alone.
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "allow.auto.create.topics": False,
                "topic.metadata.refresh.interval.ms": 10_000,
                "reconnect.backoff.max.ms": 2_000,
                "log_level": 3,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._producer = self._dead_letter_producer(config) if dead_letter_topic else None
        self._stopping = threading.Event()
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waits = False
        self._paused = False
        self._assigned: list[TopicPartition] = []
        self._last_error: str | None = None
        self._lost_letters = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deliver: Callable[[Sequence[Message]], None] = lambda _: None
        self._revoked: Callable[[Sequence[Partition]], None] = lambda _: None

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Subscribe and read in a thread; both callables are called in the current event loop."""
        self._loop = asyncio.get_running_loop()
        self._deliver, self._revoked = deliver, revoked
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        self._thread = threading.Thread(target=self._read, name="kafka", daemon=True)
        self._thread.start()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit in the background."""
        positions = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        self._orders.put(lambda: self._commit(positions))

    def pause(self, *, paused: bool) -> None:
        """Stop or resume fetching; the thread goes on polling, so the group keeps us."""
        self._paused = paused
        self._orders.put(self._pause_or_resume)

    def dead_letter(self, message: Message, why: str) -> None:
        """Send an unreadable message on, with where it was and why as headers; it neither waits nor raises."""
        if self._producer is None or self._dead_letter_topic is None:
            return
        topic, number = message.partition
        value, key = message.value or b"", message.key
        headers = {"mljob_error": why, "mljob_source": f"{topic}/{number}/{message.offset}"}
        if len(value) > DEAD_LETTER_BYTES:
            headers["mljob_size"] = str(len(value))
        try:
            self._producer.produce(
                self._dead_letter_topic,
                value[:DEAD_LETTER_BYTES],
                key[:DEAD_LETTER_BYTES] if key is not None else None,
                headers=[(name, text.encode(errors="replace")) for name, text in headers.items()],
            )
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            self._lament(headers["mljob_source"], error)
        else:
            self._lost_letters = False

    def _lament(self, place: str, error: Exception) -> None:
        """A dead letter is lost; said once until one is taken again."""
        if not self._lost_letters:
            self._lost_letters = True
            log.warning("message %s and more like it are not sent to the dead-letter topic: %s", place, error)

    @staticmethod
    def _dead_letter_producer(config: Mapping[str, Any]) -> Producer:
        # Left to itself librdkafka writes its lines to standard error as they are, amid ours.
        options = {"acks": "all", "log_level": 3, "queue.buffering.max.kbytes": DEAD_LETTERS_KEPT_KB}
        return Producer({**config, **options}, logger=logging.getLogger("librdkafka"))

    async def close(self) -> None:
        """End the thread and leave the group, so that others take over at once."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 10)
        if self._producer is not None:
            await asyncio.to_thread(self._producer.flush, 5)

    def _read(self) -> None:
        assert self._loop is not None
        while not self._stopping.is_set():
            self._carry_out()
            first = self._consumer.poll(POLL_SECONDS)
            if first is None:
                continue
            received = [first, *self._consumer.consume(BATCH, 0)]
            messages = [made for raw in received if (made := self._made(raw)) is not None]
            if messages:
                self._loop.call_soon_threadsafe(self._deliver, messages)
        self._carry_out(wait=True)
        self._consumer.close()

    def _carry_out(self, *, wait: bool = False) -> None:
        """In the consumer's thread: do what the event loop has asked for; ``wait`` for commits where there is no later."""
        self._waits = wait
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            order()

    def _commit(self, positions: list[TopicPartition]) -> None:
        try:
            if self._waits:
                self._consumer.commit(offsets=positions, asynchronous=False)
            else:
                self._consumer.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:
            log.info("offsets were not committed: %s", error)

    def _pause_or_resume(self) -> None:
        act = self._consumer.pause if self._paused else self._consumer.resume
        try:
            act(self._assigned)
        except KafkaException as error:
            log.warning("partitions were not %s: %s", "paused" if self._paused else "resumed", error)

    def _made(self, raw: KafkaMessage) -> Message | None:
        if (error := raw.error()) is not None:
            self._complain(error)
            return None
        if self._last_error is not None:
            log.info("events are being read again")
            self._last_error = None
        return Message(
            (raw.topic() or "", raw.partition() or 0), raw.offset() or 0, raw.key(), raw.value(), raw.timestamp()[1]
        )

    def _complain(self, error: KafkaError) -> None:
        """Librdkafka reconnects by itself; the same complaint is logged once until messages come again."""
        if error.name() != self._last_error:
            self._last_error = error.name()
            log.warning("Kafka: %s; statuses come from Airflow's REST API until events can be read", error)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = [*self._assigned, *partitions]
        log.info("reading %s", ", ".join(f"{p.topic}/{p.partition}" for p in self._assigned) or "no partition")
        if self._paused:
            self._consumer.pause(partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit what is stored before somebody else begins to read."""
        self._lose(partitions, wait=True)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._lose(partitions, wait=False)

    def _lose(self, partitions: list[TopicPartition], *, wait: bool) -> None:
        assert self._loop is not None
        lost = [(p.topic, p.partition) for p in partitions]
        self._assigned = [p for p in self._assigned if (p.topic, p.partition) not in lost]
        if self._stopping.is_set():
            return
        told = threading.Event()

        def tell() -> None:
            self._revoked(lost)
            told.set()

        self._loop.call_soon_threadsafe(tell)
        if wait and told.wait(2):
            self._carry_out(wait=True)
