from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from mljob_operator.adapters.kafka import KafkaEvents
from mljob_operator.adapters.kafka_lag import unread

UNKNOWN = -1001
"""The value with which librdkafka reports an unknown offset."""


def statistics(*partitions: tuple[int, int, int]) -> dict[str, Any]:
    """Return statistics of librdkafka. Each argument describes a partition: the end offset, the
    consumer's position and the committed offset.
    """
    names = ("hi_offset", "app_offset", "committed_offset")
    found = {str(number): dict(zip(names, offsets, strict=True)) for number, offsets in enumerate(partitions)}
    return {"topics": {"airflow.events": {"partitions": found}}}


@pytest.mark.parametrize(
    ("said", "messages"),
    [
        (statistics((10, 7, 5), (14, 10, 10)), 7),
        (statistics((10, 10, 5)), 0),
        (statistics((10, UNKNOWN, 6)), 4),
        (statistics((10, UNKNOWN, UNKNOWN)), 0),
        (statistics((UNKNOWN, 7, 7)), 0),
        (statistics((6, 7, 7)), 0),
        ({"topics": {"airflow.events": {"partitions": {"0": {}}}}}, 0),
        ({"topics": {"another": {"partitions": {"0": {"hi_offset": 9, "app_offset": 1}}}}}, 0),
        ({"topics": {}}, 0),
        ({}, 0),
    ],
)
def test_unread_messages_of_all_partitions_are_added(said: dict[str, Any], messages: int) -> None:
    assert unread(said, "airflow.events") == messages


@pytest.fixture
def cluster() -> Iterator[tuple[Producer, str]]:
    """A producer for a mock broker, and the broker's address."""
    producer = Producer({"test.mock.num.brokers": 1})
    [broker] = producer.list_topics(timeout=30).brokers.values()
    yield producer, f"{broker.host}:{broker.port}"
    producer.flush(1)


def test_statistics_of_librdkafka_say_what_a_consumer_has_not_read(cluster: tuple[Producer, str]) -> None:
    producer, brokers = cluster
    for _ in range(5):
        producer.produce("airflow.events", value=b"x", partition=0)
    producer.flush(30)
    lags: list[int] = []
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "operator",
            "statistics.interval.ms": 50,
            "stats_cb": lambda text: lags.append(unread(json.loads(text), "airflow.events")),
        }
    )
    partition = TopicPartition("airflow.events", 0, 0)
    try:
        consumer.assign([partition])
        assert consumer.poll(30) is not None
        consumer.pause([partition])
        lags.clear()
        until = time.monotonic() + 180
        while not lags and time.monotonic() < until:
            assert consumer.poll(0.1) is None
        assert lags[-1] == 4
        consumer.resume([partition])
        while lags[-1] and time.monotonic() < until:
            consumer.poll(0.1)
        assert lags[-1] == 0
    finally:
        consumer.close()


async def test_consumer_reports_its_lag(cluster: tuple[Producer, str]) -> None:
    lags: asyncio.Queue[int] = asyncio.Queue()
    topic = KafkaEvents(
        {"bootstrap.servers": cluster[1]}, topic="airflow.events", group_id="operator", lag_changed=lags.put_nowait
    )
    topic.start(lambda _: None, lambda _: None)
    try:
        assert await asyncio.wait_for(lags.get(), 180) == 0
    finally:
        await topic.close()
