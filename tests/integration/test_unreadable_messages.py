"""Unreadable messages are counted, and copied to the dead-letter topic."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.hostile import hostile
from tests.live.eventually import eventually
from tests.live.installation import Installation

DEAD_LETTERS = "mljob.unreadable"
UNREADABLE: dict[str, bytes] = {
    "not_json": b"never mind",
    "not_json again": b'{"mljob_version": 1,',
    "not even text": b"\xff\xfe\x00",
    "unknown_format": b'{"hello": "world"}',
    "a list": b"[1, 2]",
    "invalid": b'{"mljob_version": 1, "event": "task_instance.running"}',
    "of a version to come": b'{"mljob_version": 2, "event": "task_instance.running"}',
    "official, of a version to come": b'{"schema_version": 9, "event": "dag_run.running"}',
    "deeply nested": b"[" * 100_000,
}

# Messages that other tests make unreadable must not be counted here.
pytestmark = pytest.mark.disruptive

Send = Callable[..., None]


@pytest.fixture(scope="module")
def send(stack: Stack) -> Send:
    producer = Producer({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"]})

    def send(*values: bytes | None) -> None:
        for value in values:
            producer.produce(stack.env["MLJOB_EVENTS_TOPIC"], value, b"one key")
        assert producer.flush(60) == 0

    return send


@pytest.fixture(scope="module")
def reader(stack: Stack, new_installation: NewInstallation, send: Send) -> Installation:
    admin = AdminClient({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
    [made] = admin.create_topics([NewTopic(DEAD_LETTERS, num_partitions=1, replication_factor=1)]).values()
    assert made.exception() is None or "TOPIC_ALREADY_EXISTS" in str(made.exception())
    reader = new_installation("reader", MLJOB_DEAD_LETTER_TOPIC=DEAD_LETTERS)

    def reads() -> bool:
        send(foreign())
        return events(reader, "foreign") > 0

    eventually(reads, "the operator reads the topic", evidence=reader.operator.log_end)
    return reader


def foreign() -> bytes:
    """Return an event of a run that no MLJob submitted."""
    return json.dumps(
        {
            "schema_version": 1,
            "event": "dag_run.running",
            "timestamp": datetime.now(UTC).isoformat(),
            "dag_id": "somebody_elses",
            "run_id": "scheduled__2026-01-01",
        }
    ).encode()


def events(installation: Installation, outcome: str) -> float:
    return installation.operator.metrics().get(("mljob_events_total", outcome), 0)


def test_unreadable_messages_are_counted_and_later_messages_are_read(reader: Installation, send: Send) -> None:
    unreadable, strangers = events(reader, "unreadable"), events(reader, "foreign")

    send(*UNREADABLE.values(), foreign())

    eventually(lambda: events(reader, "foreign") > strangers, "what follows is read", evidence=reader.operator.log_end)
    assert events(reader, "unreadable") == unreadable + len(UNREADABLE)
    assert reader.operator.get("/livez")[0] == 200


def test_tombstone_is_no_error(reader: Installation, send: Send) -> None:
    unreadable, tombstones, strangers = (events(reader, outcome) for outcome in ("unreadable", "tombstone", "foreign"))

    send(None, b"", foreign())

    eventually(lambda: events(reader, "foreign") > strangers, "what follows is read", evidence=reader.operator.log_end)
    assert events(reader, "tombstone") == tombstones + 2
    assert events(reader, "unreadable") == unreadable


def test_run_with_impossible_events_ends_right_and_can_be_deleted(reader: Installation, send: Send) -> None:
    reader.jobs.submit("told", "parity_nested_groups")
    status = reader.jobs.until("told", lambda status: status.get("submitTime"), "is submitted")
    event = {
        "mljob_version": 1,
        "event": "task_instance.running",
        "timestamp": datetime.now(UTC).isoformat(),
        "dag_id": status["dagId"],
        "run_id": status["dagRunId"],
        "task_id": "no_such_task",
        "try_number": 1,
    }
    # The API server would refuse a status with one of these values.
    impossible: list[dict[str, Any]] = [
        {"try_number": 2**70},
        {"timestamp": "9999-12-31T23:59:59Z"},
        {"timestamp": "9999-12-31T23:59:59-14:00"},
        {"start_date": "0001-01-01T00:00:00+14:00"},
    ]
    unreadable = events(reader, "unreadable")

    send(*(json.dumps({**event, **change}).encode() for change in impossible))

    ended = reader.jobs.until_finished("told")["told"]["status"]
    assert ended["phase"] == "Succeeded"
    assert "no_such_task" not in {task["taskId"] for task in ended["tasks"]}
    assert events(reader, "unreadable") == unreadable + len(impossible)
    eventually(lambda: reader.operator.metrics()["mljob_events_in_flight",] == 0, "all offsets are done")
    reader.jobs.kubectl("delete", "mljob", "told", "--wait=false")
    reader.jobs.until_gone("told")


def test_hostile_messages_among_valid_ones_stop_nothing(reader: Installation, send: Send) -> None:
    reader.jobs.submit("amid", "parity_branch")
    status = reader.jobs.until("amid", lambda status: status.get("submitTime"), "is submitted")
    random, strangers = Random(7), events(reader, "foreign")
    good = {
        "schema_version": 1,
        "event": "task_instance.running",
        "timestamp": datetime.now(UTC).isoformat(),
        "dag_id": status["dagId"],
        "run_id": status["dagRunId"],
        "task_id": "no_such_task",
        "try_number": 1,
        "map_index": -1,
    }

    made = [hostile(random, good) for _ in range(200)]
    send(*(value for value in made if value is None or len(value) < 500_000), foreign())

    assert reader.jobs.until_finished("amid")["amid"]["status"]["phase"] == "Succeeded"
    eventually(lambda: events(reader, "foreign") > strangers, "what follows is read", evidence=reader.operator.log_end)
    assert reader.operator.get("/livez")[0] == 200


def test_dead_letter_topic_contains_unreadable_messages_with_the_reason(
    reader: Installation, send: Send, stack: Stack
) -> None:
    send(b"to be kept", foreign())
    consumer = Consumer(
        {
            "bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"test-{reader.jobs.namespace}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([DEAD_LETTERS])
    found: dict[bytes | None, dict[str, Any]] = {}

    def kept() -> dict[str, Any]:
        # Other tests may have filled the topic.
        for message in consumer.consume(1000, timeout=1):
            if message.error() is None:
                found[message.value()] = dict(message.headers() or ())
        return found.get(b"to be kept", {})

    try:
        headers = eventually(kept, "the message is in the dead-letter topic", evidence=reader.operator.log_end)
    finally:
        consumer.close()
    assert headers["mljob_error"].startswith(b"not_json")
    assert headers["mljob_source"].startswith(f"{stack.env['MLJOB_EVENTS_TOPIC']}/".encode())


def test_each_kind_of_unreadable_message_is_logged_once(reader: Installation, send: Send) -> None:
    strangers = events(reader, "foreign")
    send(*UNREADABLE.values(), foreign())
    eventually(lambda: events(reader, "foreign") > strangers, "all are read")

    lines = [record["message"] for record in reader.operator.records() if "unreadable message" in record["message"]]

    assert sorted(line.partition("(")[2].partition(")")[0] for line in lines) == [
        "invalid",
        "not_json",
        "unknown_format",
    ]
    assert all("partition" in line and "offset" in line for line in lines)


def test_offsets_are_committed_past_unreadable_messages(reader: Installation, send: Send) -> None:
    send(b"once", foreign())
    eventually(lambda: reader.operator.metrics()["mljob_events_in_flight",] == 0, "nothing is under way")
    reader.operator.stop()
    reader.operator.start()

    def reads() -> bool:
        send(foreign())
        return events(reader, "foreign") > 0

    eventually(reads, "the operator reads the topic again", evidence=reader.operator.log_end)
    assert events(reader, "unreadable") == 0
