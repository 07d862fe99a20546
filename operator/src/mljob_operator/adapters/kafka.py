"""Reads the event topic through confluent-kafka, the Python client that is based on librdkafka.

librdkafka's consumer blocks, so it has its own thread. ``consume(n, timeout)`` would wait until
``n`` messages have arrived or the timeout is over. So the thread calls ``poll``, and then
``consume(n, 0)``, which does not wait.

Only the consumer's thread calls the consumer, with one exception: the consumer's ``close`` runs in
a second thread after the last ``poll``. The event loop never calls the consumer, because such a
call would block the event loop. Since confluent-kafka 2.16, a call from another thread waits until
``poll`` returns, and may have to wait for the next ``poll`` too (confluent-kafka-python #2322).
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ..core.run.offsets import Partition
from ..ports import Link, Message
from . import consumer_properties
from .dead_letters import DeadLetters
from .kafka_connection import Connection, with_callbacks
from .kafka_files import Files
from .kafka_lag import unread

log = logging.getLogger(__name__)

LEAVE_SECONDS = 3.0
"""The longest time in seconds for which the thread waits for the last commits of an ending
consumer. The thread then waits for at most the same time until the consumer has left the group.
"""
POLL_SECONDS = 0.5
"""The longest time in seconds for which the thread waits for a message. Between two waits, the
thread sends commits and checks whether it should end.
"""
BATCH = 500
"""The maximum number of further messages that the thread takes after the first message."""
PORTION_BYTES = 256 * 1024
"""The number of bytes of values after which a batch is divided, so that the event loop does other
work between the parts. A batch of usual messages is one part.
"""
RETRY_SECONDS = 10.0
"""Seconds between the failure of a consumer and the creation of the next consumer. The cause may go
away by itself, for example if a certificate file is only partly written or the token endpoint does
not answer.
"""
FILE_CHECK_SECONDS = 10.0
"""Seconds between two checks of the certificates on disk. The kubelet needs up to a minute to
update the certificates in a Pod, so shorter intervals would gain little.
"""


class KafkaEvents:
    """Reads a topic as a member of a consumer group. Renewed certificates on disk are used without
    a restart of the operator.

    Args:
        config: librdkafka's properties for brokers and security.
        topic: The topic.
        group_id: The consumer group.
        dead_letter_topic: The topic for unreadable messages. None if unreadable messages are
            dropped.
        link_changed: Called in the event loop with the new state of the connection to the brokers,
            or with None when the topic is not read any more.
        lag_changed: Called in the event loop about once a second with the number of unread messages
            in this consumer's partitions.
        file_check_interval: Seconds between two checks of the certificates on disk.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        topic: str,
        group_id: str,
        dead_letter_topic: str | None = None,
        link_changed: Callable[[Link | None], None] = lambda _: None,
        lag_changed: Callable[[int], None] = lambda _: None,
        file_check_interval: float = FILE_CHECK_SECONDS,
    ) -> None:
        self._topic = topic
        self._dead_letters = DeadLetters(dead_letter_topic) if dead_letter_topic is not None else None
        self._config = {**config, **self._reporting_token_errors(config.get("oauth_cb"))}
        self._group_id = group_id
        self._link_changed = link_changed
        self._lag_changed = lag_changed
        self._connection = Connection(str(config.get("bootstrap.servers")), topic, self._report_link)
        self._files = Files(
            [str(config[name]) for name in consumer_properties.FILES if name in config], interval=file_check_interval
        )
        self._consumer: Consumer | None = None
        self._consumers = 0
        self._stopping = threading.Event()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waits_for_commits = False
        self._commits = 0
        self._paused = False
        self._assigned: list[TopicPartition] = []
        self._last_error: str | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deliver: Callable[[Sequence[Message]], None] = lambda _: None
        self._revoked: Callable[[Sequence[Partition]], None] = lambda _: None

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Start the thread, which subscribes to the topic and reads it.

        Args:
            deliver: Called in the current event loop with the messages that have arrived.
            revoked: Called in the current event loop with the partitions that this consumer no
                longer reads, for example because another member of the group gets them.
        """
        self._loop = asyncio.get_running_loop()
        self._deliver, self._revoked = deliver, revoked
        self._thread = threading.Thread(target=self._read, name="kafka", daemon=True)
        self._thread.start()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets in the background. A failure is logged."""
        positions = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        self._commands.put(lambda: self._commit(positions))

    def pause(self, *, paused: bool) -> None:
        """Stop or resume reading messages. The consumer stays a member of the group."""
        self._paused = paused
        self._commands.put(self._pause_or_resume)

    def dead_letter(self, message: Message, why: str) -> None:
        """Send an unreadable message to the dead-letter topic, if there is such a topic. The call
        does not wait for the result, and raises no exception.
        """
        if self._dead_letters is not None:
            self._commands.put(partial(self._dead_letters.send, message, why))

    async def close(self) -> None:
        """Leave the group, so that another member gets the partitions at once. Wait at most 15 s
        for the end of the thread.
        """
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 15)
        self._link_changed(None)

    def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                self._open()
                self._consume()
            except Exception as error:
                # confluent-kafka or the token callback may raise any exception. The thread must
                # survive, because no other thread reads the topic.
                log.debug("Kafka: the consumer has failed", exc_info=error)
                if not isinstance(error, SystemError):
                    # confluent-kafka raises SystemError after the token callback has failed. The
                    # callback has reported its error to the connection already.
                    self._connection.failed(type(error).__name__, str(error) or type(error).__name__)
                self._connection.lost()
                self._wait_to_retry()
            finally:
                self._leave()

    def _open(self) -> None:
        self._files.remember()
        self._connection.opened()
        self._consumers += 1
        config = with_callbacks(self._config, self._connection)
        self._consumer = Consumer(
            {
                **consumer_properties.DEFAULTS,
                **config,
                **consumer_properties.FIXED,
                "group.id": self._group_id,
                "error_cb": self._of_this_consumer(self._connection.error),
                "on_commit": self._of_this_consumer(self._on_commit),
                "stats_cb": self._of_this_consumer(self._on_statistics),
            }
        )
        if self._dead_letters is not None:
            self._dead_letters.open(config)
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _consume(self) -> None:
        """Read messages until :meth:`close` is called, or until new certificates on disk need a new
        consumer.
        """
        assert self._consumer is not None
        while not self._stopping.is_set():
            self._run_commands()
            first = self._consumer.poll(POLL_SECONDS)
            self._connection.check()
            if self._dead_letters is not None:
                self._dead_letters.serve()
            if first is not None:
                received = [first, *self._consumer.consume(BATCH, 0)]
                for messages in _portions(filter(None, map(self._message_of, received))):
                    self._hand_over(messages)
            if self._files.changed() and self._usable():
                log.info(
                    "Kafka: the certificates on disk have changed; topic %s is read with the new ones", self._topic
                )
                return

    def _hand_over(self, messages: Sequence[Message]) -> None:
        """Pass messages to the event loop. Wait until the event loop has processed the messages, or
        until :meth:`close` is called.

        The thread reads messages faster than the event loop parses them. The event loop runs
        everything that is ready in one turn. Without this wait, a backlog would become one turn of
        many seconds, in which the Lease is not renewed.
        """
        assert self._loop is not None
        if self._stopping.is_set():
            return
        processed = threading.Event()

        def deliver() -> None:
            try:
                self._deliver(messages)
            finally:
                processed.set()

        self._loop.call_soon_threadsafe(deliver)
        while not processed.wait(POLL_SECONDS) and not self._stopping.is_set():
            pass

    def _of_this_consumer(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return a function for the consumer that is being created now. The function passes its
        arguments to ``callback``. After this consumer has begun to close, the function does
        nothing. A closing consumer may still report errors, which say nothing about the next
        consumer.
        """
        number = self._consumers

        def call_if_current(*args: Any) -> None:
            if self._consumers == number:
                callback(*args)

        return call_if_current

    def _usable(self) -> bool:
        """Return whether librdkafka accepts the certificates on disk. librdkafka may refuse a file
        that is only partly written. The check is repeated when the files change again.
        """
        why = consumer_properties.refusal(self._config)
        if why is not None:
            log.warning(
                "Kafka: the certificates on disk have changed and can't be used: %s; the old ones stay in use", why
            )
        return why is None

    def _leave(self) -> None:
        """Commit the queued offsets, and leave the group.

        Brokers accept no commit if they are unavailable or don't trust the certificate any more. So
        the thread waits at most ``LEAVE_SECONDS`` (3) for the commits, and then at most 3 seconds
        for the consumer's ``close``. If a commit is not accepted in time, the next consumer reads
        some messages again.
        """
        self._run_commands()
        try:
            if self._consumer is not None:
                until = time.monotonic() + LEAVE_SECONDS
                while self._commits and time.monotonic() < until:
                    self._consumer.poll(POLL_SECONDS)
            self._give_up(self._assigned, wait=False)
            consumer, self._consumer, self._commits = self._consumer, None, 0
            self._consumers += 1
            if consumer is not None:
                ending = threading.Thread(target=consumer.close, name="kafka that ends", daemon=True)
                ending.start()
                ending.join(LEAVE_SECONDS)
            if self._dead_letters is not None:
                self._dead_letters.close()
        except Exception as error:
            log.debug("Kafka: the consumer did not end well", exc_info=error)
        self._consumer = None

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        self._commits = max(0, self._commits - 1)
        if error is not None:
            log.info("offsets were not committed: %s", error)

    def _wait_to_retry(self) -> None:
        until = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until and not self._stopping.wait(POLL_SECONDS):
            self._connection.check()

    def _reporting_token_errors(self, tokens: Callable[[str | None], tuple[str, float]] | None) -> dict[str, Any]:
        """Return a dict with librdkafka's property ``oauth_cb``, or an empty dict if ``tokens`` is
        None. The property is a function that calls ``tokens``. If ``tokens`` raises an exception,
        the function records the exception's text as the cause of a missing connection, and raises
        the exception again. librdkafka itself reports only that the callback has failed.
        """
        if tokens is None:
            return {}

        def token(config: str | None) -> tuple[str, float]:
            try:
                return tokens(config)
            except Exception as error:
                self._connection.no_token(error)
                raise

        return {"oauth_cb": token}

    def _on_statistics(self, text: str) -> None:
        statistics = json.loads(text)
        self._connection.statistics(statistics)
        messages = unread(statistics, self._topic)
        if self._loop is not None and not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._lag_changed, messages)

    def _report_link(self, link: Link) -> None:
        if self._loop is not None and not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._link_changed, link)

    def _run_commands(self, *, wait: bool = False) -> None:
        """Run the functions that the event loop has queued for the consumer's thread, for example
        commits of offsets.

        Args:
            wait: Whether each commit waits for the brokers. This is necessary before another member
                of the group gets the partitions.
        """
        self._waits_for_commits = wait
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            command()

    def _commit(self, positions: list[TopicPartition]) -> None:
        if self._consumer is None:
            return
        try:
            if self._waits_for_commits:
                # This call would never return if no broker accepted the commit. But a rebalance has
                # just begun, so a broker is in reach.
                self._consumer.commit(offsets=positions, asynchronous=False)
            else:
                self._consumer.commit(offsets=positions, asynchronous=True)
                self._commits += 1
        except KafkaException as error:
            log.info("offsets were not committed: %s", error)

    def _pause_or_resume(self) -> None:
        if self._consumer is None:
            # _on_assign pauses the next consumer if self._paused is set.
            return
        act = self._consumer.pause if self._paused else self._consumer.resume
        try:
            act(self._assigned)
        except KafkaException as error:
            log.warning("partitions were not %s: %s", "paused" if self._paused else "resumed", error)

    def _message_of(self, raw: KafkaMessage) -> Message | None:
        if (error := raw.error()) is not None:
            self._log_problem(error)
            return None
        if self._last_error is not None:
            log.info("events are being read again")
            self._last_error = None
            self._connection.topic_readable()
        return Message(
            (raw.topic() or "", raw.partition() or 0), raw.offset() or 0, raw.key(), raw.value(), raw.timestamp()[1]
        )

    def _log_problem(self, error: KafkaError) -> None:
        self._connection.consumer_error(error)
        if error.name() != self._last_error:
            self._last_error = error.name()
            log.warning("Kafka: %s; statuses come from Airflow's REST API until events can be read", error)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = [*self._assigned, *partitions]
        if partitions:
            self._connection.topic_readable()
        log.info("reading %s", ", ".join(f"{p.topic}/{p.partition}" for p in self._assigned) or "no partition")
        if self._paused:
            consumer.pause(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit offsets before another member of the group reads the partitions."""
        if consumer is self._consumer:
            self._give_up(partitions, wait=True)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is self._consumer:
            self._give_up(partitions, wait=False)

    def _give_up(self, partitions: list[TopicPartition], *, wait: bool) -> None:
        assert self._loop is not None
        lost = [(p.topic, p.partition) for p in partitions]
        self._assigned = [p for p in self._assigned if (p.topic, p.partition) not in lost]
        if self._stopping.is_set():
            return
        done = threading.Event()

        def revoke() -> None:
            self._revoked(lost)
            done.set()

        self._loop.call_soon_threadsafe(revoke)
        if wait and done.wait(2):
            self._run_commands(wait=True)


def _portions(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Divide messages into lists. The values of a list, without the last value, have less than
    ``PORTION_BYTES`` (256 KiB).
    """
    portion: list[Message] = []
    size = 0
    for message in messages:
        portion.append(message)
        size += len(message.value or b"")
        if size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
