"""Reads the events of one run from the Kafka topic of events. The caller gives the time or the
offsets at which reading begins.

Each KafkaRunHistory has its own consumer. The consumer joins no consumer group, and commits no
offsets. By default, the consumer reads only the partition of the run's key. With the setting
``MLJOB_API_EVENTS_IN_ANY_PARTITION``, the consumer reads all partitions.

A call of confluent-kafka's consumer blocks the thread of the call. So the calls run in threads
other than the event loop's thread. Each consumer runs one call at a time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ..errors import KafkaUnavailable, TooManyReaders
from ..ports import HistoryBatch, Message

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 500
"""The maximum number of messages that a reader takes at once."""
POLL_SECONDS = 0.5
"""The longest time in seconds for which a thread waits for messages."""
TIMEOUT = 10.0
"""The longest time in seconds for which a thread waits for an answer of the brokers."""
MAX_PARTITIONS = 1_000
"""The maximum number of partitions of a topic that is read."""
_CONSUMER = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # The events of a run whose first events were deleted begin with the oldest event that is left.
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    "enable.partition.eof": True,
    "statistics.interval.ms": 0,
    # The buffers of a reader stay below 2 MB.
    "queued.min.messages": 1_000,
    "queued.max.messages.kbytes": 512,
    "fetch.message.max.bytes": 256 * 1024,
    "fetch.wait.max.ms": 100,
    # A failure is logged once for each request, and librdkafka would log each attempt to connect.
    "log_level": 0,
}


class KafkaHistory:
    """Opens readers of the events of single runs.

    Args:
        config: librdkafka's properties for brokers and security.
        group_id: The property ``group.id``, which librdkafka requires. The consumers join no group.
        readers: The maximum number of readers at the same time, including those that are being
            closed.
        any_partition: Whether the events of a run may be in any partition of the topic, because the
            producers don't choose partitions as librdkafka does, or because partitions were added.
    """

    def __init__(self, config: Mapping[str, Any], *, group_id: str, readers: int, any_partition: bool = False) -> None:
        self._config = {**config, **_CONSUMER, "group.id": group_id, "logger": logging.getLogger("librdkafka")}
        self._readers = asyncio.Semaphore(readers)
        self._limit = readers
        self._any_partition = any_partition
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="kafka history")
        self.open_readers = 0
        """The number of readers that are open now."""

    async def open(
        self, topic: str, key: bytes, since: datetime, positions: Mapping[int, int] | None = None
    ) -> KafkaRunHistory:
        """Return a new reader of the messages that have the key ``key``.

        Args:
            topic: The topic.
            key: The key of the messages.
            since: The first message to read has this timestamp or a later one.
            positions: The offset of the first message to read, by partition. Overrides ``since``
                for these partitions.

        Raises:
            TooManyReaders: The maximum number of readers was open for ``TIMEOUT`` seconds.
            KafkaUnavailable: The brokers don't answer or refuse the topic, or the topic has more
                than ``MAX_PARTITIONS`` partitions.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._readers.acquire()
        except TimeoutError:
            raise TooManyReaders(
                f"{self._limit} readers of events are open, as many as MLJOB_API_EVENT_READERS allows. Try again later."
            ) from None
        self.open_readers += 1
        history = KafkaRunHistory(self._config, topic, key, self._threads, self._ended)
        try:
            await history.open(since, positions, any_partition=self._any_partition)
        except BaseException:
            history.close()
            raise
        return history

    def close(self) -> None:
        """End the threads in which the readers call their consumers. Calls that have not begun are
        cancelled. The method does not wait for calls that are running. Open readers are not closed.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self) -> None:
        self.open_readers -= 1
        self._readers.release()


class KafkaRunHistory:
    """Reads the events of one run: the messages of a topic that have the run's key.

    Args:
        config: librdkafka's properties.
        topic: The topic.
        key: The run's key in the messages.
        threads: The threads in which this object calls its consumer.
        ended: Called in the event loop after the consumer was closed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        key: bytes,
        threads: ThreadPoolExecutor,
        ended: Callable[[], None],
    ) -> None:
        self._config = config
        self._topic = topic
        self._key = key
        self._threads = threads
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._consumer: Consumer | None = None
        self._positions: dict[int, int] = {}
        self._behind: set[int] = set()
        self._error: KafkaError | None = None
        self.incomplete = False
        """Whether Kafka may have deleted events of the run that this reader should read."""

    async def open(self, since: datetime, positions: Mapping[int, int] | None, *, any_partition: bool) -> None:
        """Make the consumer, and find the first message to read in each partition that is read.

        Args:
            since: The first message to read has this timestamp or a later one.
            positions: The offset of the first message to read, by partition. Overrides ``since``
                for these partitions.
            any_partition: If True, all partitions are read. If False, only the partition is read
                that :func:`partition_of` returns for the key.

        Raises:
            KafkaUnavailable: The brokers don't answer or refuse the topic, the topic has more than
                ``MAX_PARTITIONS`` partitions, or :meth:`close` was called.
        """
        await self._call(self._open, since, positions, any_partition)

    async def read(self, convert: Callable[[Message], Sequence[T]]) -> HistoryBatch[T]:
        """Wait at most half a second for messages, and return a :class:`.HistoryBatch`. If messages
        of the run have arrived, the batch has the items that ``convert`` returns for these
        messages. Otherwise, the batch has no items. ``convert`` runs in another thread.

        Raises:
            KafkaUnavailable: The brokers don't answer or report an error, or the reader is closed.
        """
        return await self._call(self._read, convert)

    def close(self) -> None:
        """Begin to close the consumer, and return at once. A new thread closes the consumer after
        the consumer's current call.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        threading.Thread(target=self._close, name="kafka history that ends", daemon=True).start()

    async def _call(self, function: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._threads, self._locked, function, *args)

    def _locked(self, function: Callable[..., T], *args: Any) -> T:
        with self._lock:
            if self._closing.is_set():
                raise KafkaUnavailable("The reader of events is being closed.")
            try:
                return function(*args)
            except KafkaException as error:
                raise self._unavailable(error.args[0]) from error

    def _open(self, since: datetime, positions: Mapping[int, int] | None, any_partition: bool) -> None:
        consumer = self._consumer = Consumer({**self._config, "error_cb": self._on_error})
        count = self._partitions(consumer)
        if not 0 < count <= MAX_PARTITIONS:
            raise KafkaUnavailable(
                f"Topic {self._topic} has {count} partitions, and at most {MAX_PARTITIONS} are read."
            )
        numbers = range(count) if any_partition else [partition_of(self._key, count)]
        begin = [self._begin(consumer, number, since, positions) for number in numbers]
        self._positions = {at.partition: at.offset for at in begin}
        self._behind = set(self._positions)
        consumer.assign(begin)

    def _partitions(self, consumer: Consumer) -> int:
        until = time.monotonic() + TIMEOUT
        while True:
            # Tokens to log in with are made in this call.
            consumer.poll(0)
            try:
                found = consumer.list_topics(self._topic, timeout=1.0).topics[self._topic]
                break
            except KafkaException:
                if time.monotonic() >= until or self._closing.is_set():
                    raise
        if found.error is not None:
            raise self._unavailable(found.error)
        return len(found.partitions)

    def _begin(
        self, consumer: Consumer, number: int, since: datetime, positions: Mapping[int, int] | None
    ) -> TopicPartition:
        """Return the position of the first message to read in a partition. Also set ``incomplete``
        if Kafka may have deleted earlier messages of the run.
        """
        low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=TIMEOUT)
        if positions is not None and number in positions:
            self.incomplete = self.incomplete or positions[number] < low
            return TopicPartition(self._topic, number, min(max(positions[number], low), high))
        asked = TopicPartition(self._topic, number, int(since.timestamp() * 1000))
        (found,) = consumer.offsets_for_times([asked], timeout=TIMEOUT)
        if found.error is not None:
            raise self._unavailable(found.error)
        offset = high if found.offset == OFFSET_END else found.offset
        self.incomplete = self.incomplete or 0 < low == offset
        return TopicPartition(self._topic, number, offset)

    def _read(self, convert: Callable[[Message], Sequence[T]]) -> HistoryBatch[T]:
        assert self._consumer is not None
        self._error = None
        first = self._consumer.poll(POLL_SECONDS)
        received = [] if first is None else [first, *self._consumer.consume(BATCH, 0)]
        if not received and self._error is not None:
            raise self._unavailable(self._error)
        items: list[T] = []
        for raw in received:
            if (message := self._message(raw)) is not None:
                items += convert(message)
        return HistoryBatch(items, dict(self._positions), not self._behind)

    def _message(self, raw: KafkaMessage) -> Message | None:
        """Convert a message of confluent-kafka, and record the offset of the next message. Return
        None at the end of a partition, or if the message has another key.

        Raises:
            KafkaUnavailable: confluent-kafka returned an error instead of a message.
        """
        number, offset = raw.partition() or 0, raw.offset() or 0
        if (error := raw.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise self._unavailable(error)
            self._behind.discard(number)
            return None
        self._positions[number] = offset + 1
        if raw.key() != self._key:
            return None
        return Message((self._topic, number), offset, raw.key(), raw.value(), raw.timestamp()[1])

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN or self._error is None:
            self._error = error

    def _unavailable(self, error: KafkaError) -> KafkaUnavailable:
        """Log an error of librdkafka, and return the exception to raise. The exception has only the
        error's name, because the error's text may name brokers.
        """
        log.warning("Kafka: the events of topic %s can't be read: %s", self._topic, error)
        return KafkaUnavailable(f"Kafka can't be read ({error.name()}). Try again later.")

    def _close(self) -> None:
        try:
            with self._lock:
                if self._consumer is not None:
                    self._consumer.close()
        except Exception as error:
            log.debug("Kafka: a reader of events did not end well", exc_info=error)
        finally:
            with suppress(RuntimeError):
                # The event loop may be closed already, at the end of the process.
                self._loop.call_soon_threadsafe(self._ended)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that librdkafka's default partitioner ``consistent_random`` chooses for
    a key.
    """
    return zlib.crc32(key) % partitions
