"""Sends events to Kafka from the process of a task. If Kafka is out of reach, the task continues
after a short delay.

The first call of :func:`send` in a process makes a Kafka producer, and later calls use it again. A
forked process makes its own producer, because the producer's threads stay in the parent process.
The forked process uses the configuration that its parent has read from the Airflow Connection,
because it can't read the Connection itself (:mod:`mljob_airflow.supervisor`). If the parent has not
sent an event, the forked process sends no events. A forked process that has sent an event delivers
its last events when it ends, because no callback does so.

If :func:`send` fails, its callers log the error and continue (:func:`logging_errors`). If events
are lost, the operator still reads the states of runs and tasks from Airflow's REST API. The
progress, the metrics and the error messages in lost events are lost.

The monitoring DAGs use :func:`deliver`, which makes its own producer, and raises an error if a
message is not delivered.
"""

from __future__ import annotations

import logging
import math
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from typing import Any

from mljob_airflow import settings, supervisor
from mljob_airflow.events import throttle
from mljob_airflow.events.cloudevents import Message, message_from_cancellation, message_from_event
from mljob_contract.events import RunCancellation, TaskEvent

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 3.0
"""The maximum number of seconds that the start and the end of a task, and the end of a process that
the task forks, wait for the delivery of their events. Delivery usually takes less than a second,
but longer on a machine under load. The start waits too, because a task that is deferred,
rescheduled or killed ends without a callback. The task's process then ends at once, and the events
in librdkafka's buffer are lost.
"""
UNAVAILABLE_SECONDS = 0.3
"""The maximum number of seconds that the start and the end of a task wait if no broker can be
reached."""
MAX_WAIT_SECONDS = 2 * DELIVERY_SECONDS
"""The maximum number of seconds that a process waits for deliveries, in all its waits together. The
time suffices for the start and the end of a task. The DAG processor runs the callbacks of all lost
tasks of a DAG file in one process, and ends this process after ``[dag_processor]
dag_file_processor_timeout`` (50 seconds by default).
"""
STEP_SECONDS = 0.05
"""The number of seconds after which a wait for deliveries looks whether it goes on, and the minimum
of each wait."""
RETRY_SECONDS = 60.0
"""The minimum number of seconds after which a process tries again to make a producer."""

MAX_WARNINGS = 20
"""The maximum number of warnings of a process."""

DEFAULTS: dict[str, str | int | bool] = {
    "acks": "all",
    # An idempotent producer first waits half a second for its id, in each process of a task.
    # Without the id, a retry may store an event twice or behind a later one. The operator's fold
    # has the same result for any order and any number of copies.
    "enable.idempotence": False,
    # Five milliseconds are long enough to send a task's last report and its end in one request, and
    # too short to be noticed.
    "linger.ms": 5,
    # After ten seconds a delivery is of no use, because by then the operator has read the state
    # from the REST API.
    "message.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 5_000,
    # While no broker can be reached, a task that reports for hours must not fill its memory with
    # reports.
    "queue.buffering.max.messages": 10_000,
    "client.id": "mljob-airflow",
}
"""The producer's properties (librdkafka's CONFIGURATION.md). The extra of the Airflow Connection
can override each property."""


class _State:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.config: dict[str, Any] | None = None
        self.producer: Any = None
        self.next_attempt_at = -math.inf
        self.warned: set[tuple[str, str]] = set()
        self.brokers_unavailable = False
        self.waited_seconds = 0.0
        self.inherited: Any = None


_state: _State | None = None


def send(event: TaskEvent | RunCancellation) -> None:
    """Send an event without waiting for the delivery.

    If the producer can't be made, the call raises the error. The calls of the next
    :data:`RETRY_SECONDS` drop their events. If the failed attempt took longer than a tenth of
    :data:`RETRY_SECONDS`, the calls drop their events for ten times as long as the attempt took.

    Raises:
        BufferError: librdkafka's buffer is full.
        confluent_kafka.KafkaException: librdkafka refuses the event, for example because the event
            is too large.
        Exception: The producer can't be made from the Airflow Connection.
    """
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
    # This calls _on_delivery for earlier events, without waiting.
    producer.poll(0)


def flush(timeout: float) -> None:
    """Wait until Kafka has stored or refused all events that this process has passed to :func:`send`.
    If the wait ends earlier, log how many events are undelivered.

    Args:
        timeout: The maximum number of seconds to wait. If no broker can be reached, the maximum is
            :data:`UNAVAILABLE_SECONDS`. All waits of this process together last at most
            :data:`MAX_WAIT_SECONDS`, and each further wait at most :data:`STEP_SECONDS`.
    """
    state = _current_state()
    if state.producer is None:
        return
    began = time.monotonic()
    limit = min(timeout, MAX_WAIT_SECONDS - state.waited_seconds)
    # Flush in small steps. librdkafka calls _on_error during a flush, and _on_error notes that no
    # broker can be reached.
    while undelivered := state.producer.flush(STEP_SECONDS):
        waited = time.monotonic() - began
        if waited >= limit or (state.brokers_unavailable and waited >= UNAVAILABLE_SECONDS):
            warn_once("Kafka did not take %d event(s) within %.1f s. The task is not affected.", undelivered, waited)
            break
    state.waited_seconds += time.monotonic() - began


class DeliveryError(Exception):
    """Kafka refused a message, or did not confirm the message in time."""


def deliver(topic: str, message: Message, timeout: float = 30.0) -> None:
    """Send a message, and wait until Kafka has stored the message.

    Args:
        topic: The topic.
        message: The message.
        timeout: The maximum number of seconds to wait.

    Raises:
        DeliveryError: Kafka refused the message, or did not confirm the message in time.
        Exception: The producer can't be made from the Airflow Connection, or librdkafka refuses the
            message.
    """
    reported: list[Any] = []
    connected = make_producer(_look_up(settings.kafka_config_id()))
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
def logging_errors(what: str) -> Iterator[None]:
    """Log an exception of the ``with`` block by :func:`warn_once`, and don't raise the exception.

    Args:
        what: The data that the block sends, for example ``progress report``. The logged message
            contains this text.
    """
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        warn_once("Could not send the %s: %s: %s. The task is not affected.", what, kind, error, kind=kind)


def warn_once(message: str, *args: object, kind: str = "") -> None:
    """Log a warning once for each pair of ``message`` and ``kind``. Repetitions have the level DEBUG,
    even with other ``args``. After :data:`MAX_WARNINGS` warnings of the process, all messages have
    the level DEBUG.
    """
    warned = _current_state().warned
    is_new = (message, kind) not in warned and len(warned) < MAX_WARNINGS
    if is_new:
        warned.add((message, kind))
    log.log(logging.WARNING if is_new else logging.DEBUG, message, *args)


def _producer() -> Any:
    state = _current_state()
    if state.producer is None and (began := time.monotonic()) >= state.next_attempt_at:
        try:
            config = state.config or _look_up(settings.kafka_config_id())
            state.producer = make_producer(config)
            state.config = config
        except Exception:
            # Airflow raises the same error for a missing Connection as for an API server that can't
            # be reached. So there is another attempt after any error. An attempt may take long,
            # because Airflow's supervisor repeats requests that fail. The pause limits the attempts
            # to a tenth of the task's time.
            now = time.monotonic()
            state.next_attempt_at = now + max(RETRY_SECONDS, 10 * (now - began))
            raise
    return state.producer


def _current_state() -> _State:
    global _state
    if _state is None:
        _state = _State()
    elif _state.pid != os.getpid():
        # This process was forked. Keep a reference to the parent's producer, because the producer's
        # destructor would wait for threads that don't exist in this process.
        parent, _state = _state, _State()
        _state.config = parent.config
        _state.inherited = (parent.producer, parent.inherited)
        # A process of multiprocessing ends by os._exit, which runs no function of atexit.
        Finalize(None, _deliver_last_reports, exitpriority=0)
    return _state


def _deliver_last_reports() -> None:
    with logging_errors("last reports of a forked process"):
        for report in throttle.reports.take_all():
            send(report)
        flush(DELIVERY_SECONDS)


def _look_up(kafka_config_id: str) -> dict[str, Any]:
    """Return the producer's properties from an Airflow Connection."""
    if supervisor.is_inherited():
        raise RuntimeError(
            "this process was forked before the task had sent an event: call report() in the task's own process before the fork"
        )
    # Imported here, because the import would slow down Airflow's start and the parsing of DAG
    # files.
    from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

    class Hook(KafkaProducerHook):  # type: ignore[misc]
        def _get_client(self, config: dict[str, Any]) -> Any:
            return config

    config: dict[str, Any] = Hook(kafka_config_id=kafka_config_id).get_conn
    return config


def make_producer(config: dict[str, Any]) -> Any:
    """Make a producer. The properties in ``config`` override :data:`DEFAULTS`."""
    from confluent_kafka import Producer

    return Producer({**DEFAULTS, "error_cb": _on_error, **config}, logger=_DebugLog())


class _DebugLog:
    def log(self, level: int, message: str, *args: object) -> None:
        # While a broker is out of reach, librdkafka repeats a line several times a second.
        log.debug("librdkafka: " + message, *args)


def _on_delivery(error: Any, _message: Any) -> None:
    if error is None:
        _current_state().brokers_unavailable = False
    else:
        warn_once("Kafka did not take an event: %s. The task is not affected.", error)


def _on_error(error: Any) -> None:
    from confluent_kafka import KafkaError

    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        _current_state().brokers_unavailable = True
    log.debug("librdkafka: %s", error)
