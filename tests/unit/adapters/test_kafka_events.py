"""The thread that reads Kafka does not run ahead of the event loop, and reports a refused topic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import Producer

from mljob_operator.adapters import kafka, kafka_connection
from mljob_operator.adapters.kafka import PORTION_BYTES, KafkaEvents
from mljob_operator.ports import Link, Message
from tests.live.eventually import until

TOPIC = "airflow.events"


class Raw:
    """A message of librdkafka."""

    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def error(self) -> None: ...

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> None: ...

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class Backlog:
    """A consumer with a backlog: each call returns at once.

    Args:
        batches: What the pairs of ``poll`` and ``consume`` return.
    """

    def __init__(self, batches: Sequence[Sequence[bytes]]) -> None:
        self._offsets = iter(range(sum(map(len, batches))))
        self._batches: Iterator[Sequence[bytes]] = iter(batches)
        self._others: list[Raw] = []
        self.read = 0
        self.is_read = threading.Event()
        self.before_poll: Callable[[], None] = lambda: None

    def __call__(self, config: dict[str, Any]) -> Backlog:
        return self

    def subscribe(self, topics: list[str], **callbacks: Any) -> None: ...

    def close(self) -> None: ...

    def poll(self, timeout: float) -> Raw | None:
        self.before_poll()
        batch = next(self._batches, None)
        if batch is None:
            self.is_read.set()
            return None
        first, *self._others = [Raw(next(self._offsets), value) for value in batch]
        self.read += len(batch)
        return first

    def consume(self, number: int, timeout: float) -> list[Raw]:
        return self._others


@pytest.fixture
def events() -> KafkaEvents:
    return KafkaEvents({"bootstrap.servers": "127.0.0.1:9"}, topic=TOPIC, group_id="g")


async def read_all(
    events: KafkaEvents, backlog: Backlog, deliver: Callable[[Sequence[Message]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "Consumer", backlog)
    events.start(deliver, lambda _: None)
    try:
        assert await asyncio.to_thread(backlog.is_read.wait, 60)
    finally:
        await events.close()


async def test_thread_reads_on_when_the_event_loop_has_processed_the_batch(
    events: KafkaEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog, processed, ahead = Backlog([[b"x"] * 5] * 2_000), 0, set()

    def deliver(messages: Sequence[Message]) -> None:
        nonlocal processed
        processed += len(messages)

    backlog.before_poll = lambda: ahead.add(backlog.read - processed)
    await read_all(events, backlog, deliver, monkeypatch)
    assert processed == 10_000
    assert ahead == {0}


async def test_batch_of_large_messages_is_divided(events: KafkaEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    half, delivered = b"x" * (PORTION_BYTES // 2), list[list[int]]()
    backlog = Backlog([[half, half, b"x" * 2 * PORTION_BYTES, b"x", half, b"x"]])
    await read_all(
        events, backlog, lambda messages: delivered.append([message.offset for message in messages]), monkeypatch
    )
    assert delivered == [[0, 1], [2], [3, 4, 5]]


async def test_thread_ends_while_the_event_loop_is_busy(events: KafkaEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    backlog, delivered = Backlog([[b"x" * PORTION_BYTES] * 2]), list[int]()

    def deliver(messages: Sequence[Message]) -> None:
        delivered.append(messages[0].offset)
        events._stopping.set()
        # The thread waits for the end of this function.
        assert events._thread is not None
        events._thread.join(60)
        assert not events._thread.is_alive()

    monkeypatch.setattr(kafka, "Consumer", backlog)
    events.start(deliver, lambda _: None)
    assert events._thread is not None
    await asyncio.to_thread(events._thread.join, 60)
    assert delivered == [0], "a message is not delivered after one that may not be processed"


async def test_topic_that_does_not_exist_is_a_problem_until_it_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_connection, "GRACE", 0.0)
    monkeypatch.setattr(kafka_connection, "REPORT_INTERVAL", 0.0)
    cluster = Producer({"test.mock.num.brokers": 1})
    [broker] = cluster.list_topics(timeout=30).brokers.values()
    links: list[Link | None] = []
    brokers = f"{broker.host}:{broker.port}"
    events = KafkaEvents(
        {"bootstrap.servers": brokers, "topic.metadata.refresh.interval.ms": 200},
        topic=TOPIC,
        group_id="g",
        link_changed=links.append,
    )
    events.start(lambda _: None, lambda _: None)
    try:
        await until(lambda: bool(links) and links[-1] is not None and links[-1].topic_refused)
        cluster.produce(TOPIC, b"x")
        cluster.flush(30)
        await until(lambda: links[-1] == Link(True, brokers))
    finally:
        await events.close()
