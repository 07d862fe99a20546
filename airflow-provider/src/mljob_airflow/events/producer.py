"""The Kafka producer of this process, and the promise that it never harms a task.

A task must not fail, or wait for long, because nobody listens. Hence: one producer per process, made when the first event
is sent; sending only puts the event into librdkafka's bounded buffer; the events of a task's beginning and end are waited
for, a second or two at most; whatever goes wrong becomes one warning per process and nothing else. Events that are lost
this way are made up for by the operator, which reads Airflow's REST API as well.

A producer does not survive a fork (its threads stay behind in the parent), so a forked child makes its own.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mljob_airflow import settings
from mljob_airflow.events.cloudevents import Message, message_from_cancellation, message_from_event
from mljob_contract.events import RunCancellation, TaskEvent

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 3.0
"""How long the beginning and the end of a task wait for their events to be delivered: for a machine under load, it takes a part of a second
otherwise. The beginning has to wait at all because a task that defers, is rescheduled or is killed ends without a callback, and with it what
librdkafka still holds."""
AWAY_SECONDS = 0.3
"""How long either waits when no broker can be reached."""

DEFAULTS: dict[str, str | int | bool] = {
    # A task's end is said once, and in order.
    "acks": "all",
    "enable.idempotence": True,
    # Long enough to put a task's last report and its end in one request, too short to notice.
    "linger.ms": 5,
    # What could not be delivered in this time is old news: the operator has it from REST.
    "message.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 5_000,
    # With the broker down, a task that reports for hours must not fill its memory with reports.
    "queue.buffering.max.messages": 10_000,
    "client.id": "mljob-airflow",
}
"""librdkafka's settings (its CONFIGURATION.md), each overridden by the connection's extra."""


class _State:
    """What this process has: at most one producer, and what it knows of Kafka being away."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.producer: Any = None
        self.unavailable = False
        self.warned = False
        self.brokers_away = False
        self.inherited: Any = None


_state: _State | None = None


def send(event: TaskEvent | RunCancellation) -> None:
    """Hand ``event`` to librdkafka, which delivers it from a thread of its own. Returns at once."""
    producer = _producer()
    if producer is None:
        return
    event_id = str(uuid.uuid4())
    if isinstance(event, RunCancellation):
        message = message_from_cancellation(event, event_id=event_id)
    else:
        message = message_from_event(event, event_id=event_id)
    producer.produce(
        settings.topic(), key=message.key, value=message.value, headers=message.headers, on_delivery=_on_delivery
    )
    # Serves the delivery reports and log lines that have gathered; waits for nothing.
    producer.poll(0)


def flush(timeout: float) -> None:
    """Wait until all events are delivered: for ``timeout`` seconds at most, and hardly when no broker can be reached."""
    state = _current_state()
    if state.producer is None:
        return
    began = time.monotonic()
    # In small steps, since only what librdkafka calls meanwhile tells that the brokers are away.
    while undelivered := state.producer.flush(0.05):
        waited = time.monotonic() - began
        if waited >= timeout or (state.brokers_away and waited >= AWAY_SECONDS):
            warn_once("Kafka did not take %d event(s) within %.1f s. The task is not affected.", undelivered, waited)
            return


class DeliveryError(Exception):
    """Kafka did not take a message whose delivery is what the task is for."""


def deliver(topic: str, message: Message, timeout: float = 30.0) -> None:
    """Send a message and wait until Kafka has it: for a task that exists to send it, and is to fail when it can't.

    Raises:
        DeliveryError: Kafka refused it, or did not take it in time.
    """
    reported: list[Any] = []
    connected = _connect(settings.kafka_config_id())
    connected.produce(
        topic,
        key=message.key,
        value=message.value,
        headers=message.headers,
        on_delivery=lambda error, _message: reported.append(error),
    )
    connected.flush(timeout)
    if not reported or reported[0] is not None:
        raise DeliveryError(f"topic {topic}: {reported[0] if reported else f'not delivered within {timeout:.0f} s'}")


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Whatever fails in this block is one warning of this process, and no more."""
    try:
        yield
    except Exception as error:
        warn_once("Could not send the %s: %s: %s. The task is not affected.", what, type(error).__name__, error)


def warn_once(message: str, *args: object) -> None:
    """Warn, the first time in this process; later ones are debug lines."""
    state = _current_state()
    log.log(logging.DEBUG if state.warned else logging.WARNING, message, *args)
    state.warned = True


def _producer() -> Any:
    state = _current_state()
    if state.producer is None and not state.unavailable:
        # Tried once: a connection that is missing at a task's start is missing at its end too.
        state.unavailable = True
        state.producer = _connect(settings.kafka_config_id())
        state.unavailable = False
    return state.producer


def _current_state() -> _State:
    global _state
    if _state is None:
        _state = _State()
    elif _state.pid != os.getpid():
        # The parent's producer is kept, unused: to free it would wait for threads that do not exist in this process.
        parent, _state = _state, _State()
        _state.inherited = (parent.producer, parent.inherited)
    return _state


def _connect(kafka_config_id: str) -> Any:
    # Late: neither Airflow's start nor the parsing of a DAG may pay for it.
    from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

    class Hook(KafkaProducerHook):  # type: ignore[misc]
        """The provider's hook, for its handling of connections and managed authentication, with our defaults."""

        def _get_client(self, config: dict[str, Any]) -> Any:
            return make_producer(config)

    return Hook(kafka_config_id=kafka_config_id).get_conn


def make_producer(config: dict[str, Any]) -> Any:
    """A producer with our defaults and, above them, ``config``, in librdkafka's words."""
    from confluent_kafka import Producer

    return Producer({**DEFAULTS, "error_cb": _on_error, **config}, logger=_QuietLog())


class _QuietLog:
    """librdkafka's log lines as debug lines of ours: it repeats itself several times a second while a broker is away."""

    def log(self, level: int, message: str, *args: object) -> None:
        log.debug("librdkafka: " + message, *args)


def _on_delivery(error: Any, _message: Any) -> None:
    if error is None:
        _current_state().brokers_away = False
    else:
        warn_once("Kafka did not take an event: %s. The task is not affected.", error)


def _on_error(error: Any) -> None:
    from confluent_kafka import KafkaError

    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        _current_state().brokers_away = True
    log.debug("librdkafka: %s", error)
