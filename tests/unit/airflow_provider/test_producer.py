"""A failure of Kafka never fails a task, and hardly delays the task."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from mljob_airflow import settings
from mljob_airflow.events import callbacks, producer, throttle
from mljob_airflow.tasks import progress
from mljob_contract.events import EventName, TaskEvent

TOPIC = "airflow.events"
HOUR_LONG_DELIVERY = {"message.timeout.ms": 3_600_000}
"""Properties with which librdkafka itself tries for an hour to deliver an event. A wait that only
librdkafka limits lasts longer than a test may.
"""


def event(name: EventName = EventName.TASK_SUCCESS, **fields: Any) -> TaskEvent:
    identity = {"dag_id": "train", "run_id": "run", "task_id": "fit", "try_number": 1}
    return TaskEvent(event=name, timestamp=datetime(2026, 5, 4, tzinfo=UTC), **identity | fields)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test without a connection to Kafka, as a task's process does."""
    monkeypatch.setattr(producer, "_state", None)
    for option, value in {"topic": TOPIC, "source": "tests", "kafka_config_id": "kafka_default"}.items():
        monkeypatch.setattr(settings, option, lambda value=value: value)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a mock broker that receives the events."""
    made = producer.make_producer({"bootstrap.servers": "ignored", "test.mock.num.brokers": 1})
    # Only the metadata has the address on which the broker of the mock cluster listens.
    address = next(iter(made.list_topics(timeout=10).brokers.values()))
    servers = f"{address.host}:{address.port}"
    monkeypatch.setattr(producer, "_look_up", lambda _: {"bootstrap.servers": servers})
    yield servers
    made.flush(1)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        properties = {"bootstrap.servers": f"127.0.0.1:{taken.getsockname()[1]}", **HOUR_LONG_DELIVERY}
    monkeypatch.setattr(producer, "_look_up", lambda _: properties)


def received(servers: str, count: int) -> list[dict[str, object]]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "auto.offset.reset": "earliest"})
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
    messages: list[dict[str, object]] = []
    deadline = time.monotonic() + 180
    while len(messages) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            messages.append(json.loads(message.value() or b""))
    consumer.close()
    return messages


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_events_arrive_in_their_order(broker: str) -> None:
    for name in (EventName.TASK_RUNNING, EventName.TASK_PROGRESS, EventName.TASK_SUCCESS):
        producer.send(event(name))
    producer.flush(5)
    assert [message["event"] for message in received(broker, 3)] == [
        "task_instance.running",
        "task_instance.progress",
        "task_instance.success",
    ]


def test_a_task_goes_on_with_one_warning_while_kafka_is_away(nobody: None, caplog: pytest.LogCaptureFixture) -> None:
    ti = type("Ti", (), {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1})()
    callbacks.on_execute({"ti": ti})
    callbacks.on_success({"ti": ti})
    callbacks.on_failure({"ti": ti})
    assert len(warnings(caplog)) == 1
    assert "The task is not affected" in warnings(caplog)[0]


def test_the_wait_for_a_broker_that_does_not_answer_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        properties = {"bootstrap.servers": f"127.0.0.1:{silent.getsockname()[1]}", **HOUR_LONG_DELIVERY}
        monkeypatch.setattr(producer, "_look_up", lambda _: properties)
        producer.send(event())
        began = time.monotonic()
        producer.flush(0.5)
        assert time.monotonic() - began >= 0.5
    assert len(warnings(caplog)) == 1


class Clock:
    """A clock that the test sets, in place of the module ``time``."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class UnansweringKafka(Clock):
    """A fake producer that delivers nothing, and the clock by which it waits."""

    def flush(self, seconds: float) -> int:
        self.now += seconds
        return 1


@pytest.mark.parametrize("brokers_unavailable", [False, True], ids=["brokers-do-not-answer", "no-broker-is-reached"])
def test_callbacks_of_many_lost_tasks_in_one_process_do_not_each_wait_for_kafka(
    monkeypatch: pytest.MonkeyPatch, brokers_unavailable: bool
) -> None:
    kafka = UnansweringKafka()
    monkeypatch.setattr(producer, "time", kafka)
    state = producer._current_state()
    state.producer, state.brokers_unavailable = kafka, brokers_unavailable
    for _ in ("start", "end"):
        began = kafka.now
        producer.flush(producer.DELIVERY_SECONDS)
        longest = producer.UNAVAILABLE_SECONDS if brokers_unavailable else producer.DELIVERY_SECONDS
        assert kafka.now - began == pytest.approx(longest, abs=producer.STEP_SECONDS * 1.01)
    for _ in range(200):
        producer.flush(producer.DELIVERY_SECONDS)
    assert kafka.now <= producer.MAX_WAIT_SECONDS + 203 * producer.STEP_SECONDS


class SlowKafka(Clock):
    """A fake producer that needs a second for each delivery, and the clock by which it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered_at = 0.0

    def begin_delivery(self) -> None:
        self.delivered_at = self.now + 1

    def flush(self, seconds: float) -> int:
        self.now = min(self.now + seconds, self.delivered_at)
        return int(self.now < self.delivered_at)


def test_callbacks_of_many_lost_tasks_in_one_process_do_not_each_wait_for_a_slow_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = SlowKafka()
    monkeypatch.setattr(producer, "time", kafka)
    producer._current_state().producer = kafka
    for _ in range(200):
        kafka.begin_delivery()
        producer.flush(producer.DELIVERY_SECONDS)
    assert kafka.now <= producer.MAX_WAIT_SECONDS + 201 * producer.STEP_SECONDS


@pytest.mark.parametrize(
    ("attempt_seconds", "pause"),
    [(0.0, producer.RETRY_SECONDS), (30.0, 300.0)],
    ids=["quick-answer", "supervisor-repeats-the-request"],
)
def test_connection_that_cannot_be_read_is_read_again_after_a_pause(
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    attempt_seconds: float,
    pause: float,
) -> None:
    clock, attempts = Clock(), []

    def look_up(_: str) -> dict[str, str]:
        attempts.append(clock.now)
        clock.now += attempt_seconds
        if len(attempts) < 3:
            raise LookupError("The conn_id `kafka_default` isn't defined")
        return {"bootstrap.servers": broker}

    def report() -> None:
        with producer.logging_errors("progress report"):
            producer.send(event(EventName.TASK_PROGRESS))

    monkeypatch.setattr(producer, "time", clock)
    monkeypatch.setattr(producer, "_look_up", look_up)
    report()
    for number in (1, 2):
        may_retry_at = clock.now + pause
        clock.now = may_retry_at - 1
        report()
        assert len(attempts) == number
        clock.now = may_retry_at
        report()
    assert len(attempts) == 3
    assert len(warnings(caplog)) == 1
    assert producer._current_state().producer.flush(180) == 0
    assert [message["event"] for message in received(broker, 1)] == ["task_instance.progress"]


def test_a_missing_connection_is_read_once_in_a_short_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def look_up(kafka_config_id: str) -> None:
        asked.append(kafka_config_id)
        raise LookupError(f"The conn_id `{kafka_config_id}` isn't defined")

    monkeypatch.setattr(producer, "_look_up", look_up)
    for _ in range(3):
        with producer.logging_errors("event"):
            producer.send(event())
        producer.flush(5)
    assert asked == ["kafka_default"]
    assert len(warnings(caplog)) == 1


def test_each_kind_of_error_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    errors = [ValueError("not a number"), ValueError("too long"), BufferError("full"), BufferError("full")]
    for error in errors:
        with producer.logging_errors("progress report"):
            raise error
    for undelivered in (1, 2):
        producer.warn_once("Kafka did not take %d event(s)", undelivered)
    assert warnings(caplog) == [
        "Could not send the progress report: ValueError: not a number. The task is not affected.",
        "Could not send the progress report: BufferError: full. The task is not affected.",
        "Kafka did not take 1 event(s)",
    ]


def test_the_number_of_warnings_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(producer.MAX_WARNINGS + 5):
        producer.warn_once("a warning", kind=str(number))
    assert len(warnings(caplog)) == producer.MAX_WARNINGS


def test_an_invalid_context_is_a_warning(nobody: None, caplog: pytest.LogCaptureFixture) -> None:
    callbacks.on_failure({})
    assert len(warnings(caplog)) == 1


def test_librdkafka_does_not_write_into_the_tasks_log(
    nobody: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    producer.send(event())
    producer.flush(0.3)
    assert "rdkafka" not in capfd.readouterr().err
    assert not [line for line in warnings(caplog) if "rdkafka" in line]


def _send_from_child(done: Any) -> None:
    producer.send(event(task_id="child"))
    producer.flush(5)
    done.put(os.getpid())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_its_own_producer_with_the_configuration_of_its_parent(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer.send(event(task_id="parent"))
    producer.flush(5)
    fork = multiprocessing.get_context("fork")
    done = fork.Queue()
    monkeypatch.setattr(producer, "_look_up", lambda _: pytest.fail("the child has read the Connection"))
    child = fork.Process(target=_send_from_child, args=(done,))
    child.start()
    assert done.get(timeout=180) == child.pid
    child.join(timeout=180)
    assert child.exitcode == 0
    assert {message["task_id"] for message in received(broker, 2)} == {"parent", "child"}


def _report_half_and_all() -> None:
    progress.report(0.5)
    progress.report(1.0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_last_reports_of_a_forked_process_are_delivered_when_it_ends(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    monkeypatch.setattr(progress, "_current_context", lambda: {"ti": ti})
    monkeypatch.setattr(throttle, "reports", throttle.Throttle(min_interval=3600))
    progress.report(0.1)
    progress.report(0.2)
    child = multiprocessing.get_context("fork").Process(target=_report_half_and_all)
    child.start()
    child.join(timeout=180)
    assert child.exitcode == 0
    # The report that this process holds back is not sent by the forked process.
    assert [report.progress for report in throttle.reports.take_all()] == [0.2]
    producer.flush(5)
    assert {message["progress"] for message in received(broker, 3)} == {0.1, 0.5, 1.0}


def statistics_after_an_event(broker: str, **extra: Any) -> dict[str, Any]:
    told: list[dict[str, Any]] = []
    made = producer.make_producer(
        {
            "bootstrap.servers": broker,
            "statistics.interval.ms": 50,
            "stats_cb": lambda text: told.append(json.loads(text)),
            **extra,
        }
    )
    made.produce(TOPIC, b"{}")
    assert made.flush(180) == 0
    del told[:]
    deadline = time.monotonic() + 180
    while not told and time.monotonic() < deadline:
        made.poll(0.1)
    return told[0]


def test_no_task_waits_for_the_id_of_an_idempotent_producer(broker: str) -> None:
    assert "eos" not in statistics_after_an_event(broker)


def test_extra_of_the_connection_makes_the_producer_idempotent(broker: str) -> None:
    assert statistics_after_an_event(broker, **{"enable.idempotence": True})["eos"]["idemp_state"] == "Assigned"


def test_each_event_waits_for_all_replicas() -> None:
    # Without a limit of retries, librdkafka sends an event again until ``message.timeout.ms`` has
    # passed.
    assert producer.DEFAULTS["acks"] == "all"
    assert not {"retries", "message.send.max.retries"} & producer.DEFAULTS.keys()


@pytest.mark.parametrize("acks", ["0", "1"])
def test_extra_of_the_connection_changes_acks(acks: str) -> None:
    producer.make_producer({"bootstrap.servers": "127.0.0.1:9", "acks": acks})
    with pytest.raises(KafkaException, match="acks"):
        producer.make_producer({"bootstrap.servers": "127.0.0.1:9", "acks": acks, "enable.idempotence": True})
