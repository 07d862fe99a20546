from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from pydantic import ValidationError

from mljob_operator.adapters import dead_letters
from mljob_operator.adapters.dead_letters import MAX_BYTES as DEAD_LETTER_BYTES
from mljob_operator.adapters.dead_letters import DeadLetters
from mljob_operator.adapters.kafka import KafkaEvents
from mljob_operator.ports import Message
from mljob_operator.settings import Settings
from tests.live.eventually import eventually

EVENTS = "airflow.events"


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    cluster = Producer({"test.mock.num.brokers": 1})
    [broker] = cluster.list_topics(timeout=30).brokers.values()
    yield f"{broker.host}:{broker.port}"
    cluster.flush(1)


@pytest.fixture
def dead(request: pytest.FixtureRequest) -> str:
    return f"dead.{request.node.name}"


@pytest.fixture
async def events(brokers: str, dead: str) -> KafkaEvents:
    events = KafkaEvents({"bootstrap.servers": brokers}, topic=EVENTS, group_id="g", dead_letter_topic=dead)
    events.start(lambda _: None, lambda _: None)
    return events


def message(value: bytes, key: bytes | None = b"k") -> Message:
    return Message((EVENTS, 1), 7, key, value, 0)


async def close_and_read(events: KafkaEvents, brokers: str, topic: str) -> list[KafkaMessage]:
    await events.close()
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reader"})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    try:
        found: list[KafkaMessage] = []
        while not found:
            found = [read for read in consumer.consume(10, 0.2) if read.error() is None]
        return found
    finally:
        consumer.close()


async def test_large_message_is_truncated_and_its_headers_are_valid(
    events: KafkaEvents, brokers: str, dead: str
) -> None:
    events.dead_letter(message(b"v" * 2_000_000, b"k" * 2_000_000), "invalid: \udce4")
    [letter] = await close_and_read(events, brokers, dead)
    assert letter.value() == b"v" * DEAD_LETTER_BYTES
    assert len(letter.key() or b"") == DEAD_LETTER_BYTES
    assert dict(letter.headers() or ()) == {
        "mljob_error": b"invalid: ?",
        "mljob_source": b"airflow.events/1/7",
        "mljob_size": b"2000000",
    }


async def test_small_message_is_kept_unchanged(events: KafkaEvents, brokers: str, dead: str) -> None:
    events.dead_letter(message(b"never mind", None), "not_json: no")
    [letter] = await close_and_read(events, brokers, dead)
    assert (letter.value(), letter.key()) == (b"never mind", None)
    assert "mljob_size" not in dict(letter.headers() or ())


def test_unreachable_broker_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters("dead")
    letters.open({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})
    with caplog.at_level(logging.WARNING, "mljob_operator"):
        for _ in range(600):
            letters.send(message(b"v" * DEAD_LETTER_BYTES), "invalid: no")
    lines = [record.message for record in caplog.records if "dead-letter" in record.message]
    assert len(lines) == 1
    assert lines[0].startswith("unreadable message airflow.events/1/7, and further ones, can't be sent")


def test_dead_letter_that_is_not_delivered_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters("dead")
    letters.open({"bootstrap.servers": "127.0.0.1:9", "log_level": 0, "message.timeout.ms": 100})
    letters.send(message(b"v"), "invalid: no")

    def is_reported() -> bool:
        letters.serve()
        return "unreadable message airflow.events/1/7, and further ones, can't be sent" in caplog.text

    eventually(is_reported, "the loss is reported")


def test_dead_letters_that_the_end_of_the_process_does_not_wait_for_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "LAST_SECONDS", 0.1)
    letters = DeadLetters("dead")
    letters.open({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})
    letters.send(message(b"v"), "invalid: no")
    letters.close()
    assert "unreadable messages that could not be sent to the dead-letter topic in time: 1" in caplog.text


def test_dead_letter_topic_must_differ_from_the_event_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLJOB_DEAD_LETTER_TOPIC", EVENTS)
    with pytest.raises(ValidationError, match=r"MLJOB_DEAD_LETTER_TOPIC is the topic of the events, 'airflow\.events'"):
        Settings()
