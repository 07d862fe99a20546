"""mljob-api reads the events of one run from Kafka."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from confluent_kafka import Producer, TopicPartition

from mljob_operator.adapters import kafka_history
from mljob_operator.adapters.kafka_history import KafkaHistory, KafkaRunHistory, partition_of
from mljob_operator.errors import KafkaUnavailable, TooManyReaders
from mljob_operator.ports import Message
from tests.live.eventually import until

PARTITIONS = 4
"""The number of partitions of the mock broker's topics."""
KEY = b"train/mljob.team-a.churn.abcdefghij-1"
SINCE = datetime.now(UTC) - timedelta(hours=1)
FROM_THE_BEGINNING = dict.fromkeys(range(PARTITIONS), 0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Producer, str]]:
    """A producer for a mock broker, and the broker's address."""
    producer = Producer({"test.mock.num.brokers": 1})
    [broker] = producer.list_topics(timeout=30).brokers.values()
    yield producer, f"{broker.host}:{broker.port}"
    producer.flush(1)


@pytest.fixture
def topic() -> str:
    return f"events.{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def history(cluster: tuple[Producer, str]) -> AsyncIterator[KafkaHistory]:
    history = KafkaHistory({"bootstrap.servers": cluster[1]}, group_id="api", readers=2)
    yield history
    await until_closed(history)


async def until_closed(history: KafkaHistory) -> None:
    await until(lambda: not history.open_readers, "all readers are closed")
    history.close()


def send(producer: Producer, topic: str, *values: bytes, key: bytes = KEY, partition: int = -1) -> None:
    for value in values:
        producer.produce(topic, key=key, value=value, partition=partition)
    assert producer.flush(30) == 0


def value_of(message: Message) -> list[bytes | None]:
    return [message.value]


@pytest.mark.parametrize(("after", "incomplete"), [(4, True), (5, False), (7, False)])
async def test_reader_that_continues_knows_whether_unread_messages_were_deleted(after: int, incomplete: bool) -> None:
    class Emptied:
        def get_watermark_offsets(self, _: TopicPartition, timeout: float) -> tuple[int, int]:
            return 5, 9

    with ThreadPoolExecutor(1) as threads:
        reader = KafkaRunHistory({}, "events", KEY, threads, lambda: None)
        position = reader._begin(Emptied(), 0, SINCE, {0: after})  # type: ignore[arg-type]
    assert (position.offset, reader.incomplete) == (max(after, 5), incomplete)


async def read_all(reader: KafkaRunHistory) -> list[bytes | None]:
    found: list[bytes | None] = []
    async with asyncio.timeout(180):
        while True:
            batch = await reader.read(value_of)
            found += batch.items
            if batch.caught_up:
                return found


async def test_reader_reads_the_messages_with_its_key_in_order(
    cluster: tuple[Producer, str], topic: str, history: KafkaHistory
) -> None:
    send(cluster[0], topic, *(f"{number}".encode() for number in range(1200)))
    send(cluster[0], topic, b"foreign", key=b"other")
    reader = await history.open(topic, KEY, SINCE, FROM_THE_BEGINNING)
    try:
        assert await read_all(reader) == [f"{number}".encode() for number in range(1200)]
        send(cluster[0], topic, b"later")
        async with asyncio.timeout(180):
            while not (batch := await reader.read(value_of)).items:
                pass
        assert list(batch.items) == [b"later"]
        number = partition_of(KEY, PARTITIONS)
        assert batch.positions.keys() == {number}
    finally:
        reader.close()
    again = await history.open(topic, KEY, SINCE, {number: batch.positions[number] - 1})
    try:
        assert await read_all(again) == [b"later"]
    finally:
        again.close()


@pytest.mark.parametrize("key", [b"a", b"train/mljob.team-a.churn.abcdefghij-1", "dag-ä/x".encode(), b"x" * 500])
async def test_partition_is_the_one_that_the_producers_choose(
    cluster: tuple[Producer, str], topic: str, key: bytes
) -> None:
    chosen: list[int] = []
    cluster[0].produce(topic, key=key, value=b"x", on_delivery=lambda _, sent: chosen.append(sent.partition() or 0))
    cluster[0].flush(30)
    assert chosen == [partition_of(key, PARTITIONS)]


async def test_any_partition_is_read_on_demand(cluster: tuple[Producer, str], topic: str) -> None:
    history = KafkaHistory({"bootstrap.servers": cluster[1]}, group_id="api", readers=1, any_partition=True)
    for number in range(PARTITIONS):
        send(cluster[0], topic, f"{number}".encode(), partition=number)
    reader = await history.open(topic, KEY, SINCE, FROM_THE_BEGINNING)
    assert sorted(map(str, await read_all(reader))) == [str(f"{number}".encode()) for number in range(PARTITIONS)]
    reader.close()
    await until_closed(history)


async def test_topic_that_is_not_there_is_an_error(history: KafkaHistory, topic: str) -> None:
    with pytest.raises(KafkaUnavailable, match="UNKNOWN_TOPIC_OR_PART"):
        await history.open(topic, KEY, SINCE)


async def test_brokers_that_do_not_answer_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_history, "TIMEOUT", 1.0)
    history = KafkaHistory({"bootstrap.servers": "127.0.0.1:9"}, group_id="api", readers=1)
    with pytest.raises(KafkaUnavailable, match="Kafka can't be read") as caught:
        await history.open("t", KEY, SINCE)
    assert "127.0.0.1" not in str(caught.value)
    await until_closed(history)


async def test_readers_are_limited_and_a_closed_one_makes_room(
    cluster: tuple[Producer, str], topic: str, history: KafkaHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(cluster[0], topic, b"x")
    first, second = [await history.open(topic, KEY, SINCE) for _ in range(2)]
    monkeypatch.setattr(kafka_history, "TIMEOUT", 0.2)
    with pytest.raises(TooManyReaders, match="MLJOB_API_EVENT_READERS"):
        await history.open(topic, KEY, SINCE)
    monkeypatch.setattr(kafka_history, "TIMEOUT", 30.0)
    first.close()
    third = await history.open(topic, KEY, SINCE)
    for reader in (second, third):
        reader.close()
        reader.close()


async def test_reader_that_leaves_while_it_reads_blocks_nothing(
    cluster: tuple[Producer, str], topic: str, history: KafkaHistory
) -> None:
    reads, may_end = threading.Event(), threading.Event()

    def slow(message: Message) -> list[bytes | None]:
        reads.set()
        may_end.wait()
        return value_of(message)

    send(cluster[0], topic, b"x")
    reader = await history.open(topic, KEY, SINCE, FROM_THE_BEGINNING)

    async def read_on() -> None:
        while True:
            await reader.read(slow)

    reading = asyncio.create_task(read_on())
    await until(reads.is_set, "the thread reads the message")
    reading.cancel()
    # If the call waited for the thread, it would never return.
    reader.close()
    may_end.set()
    with pytest.raises(KafkaUnavailable):
        await reader.read(value_of)


async def test_cancelled_opening_leaves_no_reader(
    cluster: tuple[Producer, str], topic: str, history: KafkaHistory
) -> None:
    send(cluster[0], topic, b"x")
    opening = asyncio.create_task(history.open(topic, KEY, SINCE))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_sixty_readers_need_little_memory(cluster: tuple[Producer, str], topic: str) -> None:
    send(cluster[0], topic, *(b"x" * 1000 for _ in range(2000)))
    history = KafkaHistory({"bootstrap.servers": cluster[1]}, group_id="api", readers=60)
    gc.collect()
    before = psutil.Process().memory_info().rss
    readers = [await history.open(topic, KEY, SINCE, FROM_THE_BEGINNING) for _ in range(60)]
    for reader in readers:
        await reader.read(value_of)
    used = psutil.Process().memory_info().rss - before
    for reader in readers:
        reader.close()
    await until_closed(history)
    assert used < 60 * 2 * 2**20, f"{used / 60 / 2**20:.2f} MiB a reader, {threading.active_count()} threads"
