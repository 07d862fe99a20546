"""The interfaces for reading Kafka topics, and for sending unreadable messages to the dead-letter
topic. An interface is a subclass of ``typing.Protocol``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from ..core.frozen import frozen
from ..core.run.offsets import Partition

T = TypeVar("T")


@frozen
class Message:
    """A Kafka message.

    Attributes:
        offset: The offset of the message in its partition.
        timestamp_ms: The time at which the producer created the message or the broker stored the
            message, in milliseconds since the epoch. 0 or less if the message has no timestamp.
    """

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@frozen
class Link:
    """The state of the connection to the brokers of a topic.

    Attributes:
        connected: Whether the operator is connected to the brokers, and the brokers have not
            refused the topic.
        brokers: The configured addresses of the brokers, separated by commas.
        problem: Why the operator is not connected, or why the brokers refuse the topic. None if
            ``connected`` is true, or has been false for only a short time.
        topic_refused: Whether ``problem`` is the reason why the brokers refuse the topic.
    """

    connected: bool
    brokers: str
    problem: str | None = None
    topic_refused: bool = False


class EventSource(Protocol):
    """Reads a Kafka topic as a member of a consumer group."""

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Start reading. ``deliver`` and ``revoked`` are called in the thread of the event loop.

        Args:
            deliver: Receives messages in the order in which they were read.
            revoked: Receives the partitions that this member has just lost, for example because
                another member of the group gets them.
        """
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets without waiting for the result. A failure is logged, and the commit is not
        repeated.
        """
        ...

    def pause(self, *, paused: bool) -> None:
        """Pause or resume the fetching of messages. The reader stays a member of the consumer
        group.
        """
        ...

    def dead_letter(self, message: Message, why: str) -> None:
        """Send an unreadable message and the reason ``why`` to the dead-letter topic. Do nothing if
        the settings name no dead-letter topic.
        """
        ...

    async def close(self) -> None:
        """Stop reading, and leave the consumer group."""
        ...


@frozen
class HistoryBatch(Generic[T]):
    """The result of :meth:`RunHistory.read`.

    Attributes:
        items: The items that the function ``convert`` of :meth:`RunHistory.read` has returned. The
            items of one partition are in the order of their offsets.
        positions: The offset of the next message, by partition number.
        caught_up: Whether the reader has reached, at least once, the end of each partition that
            the reader reads.
    """

    items: Sequence[T]
    positions: Mapping[int, int]
    caught_up: bool


class RunHistory(Protocol):
    """Reads the messages of one run from a topic. All messages of the run have the same key."""

    @property
    def incomplete(self) -> bool:
        """Whether Kafka may have deleted messages of the run before this reader read them."""
        ...

    async def read(self, convert: Callable[[Message], Sequence[T]]) -> HistoryBatch[T]:
        """Wait for messages for at most half a second. Return a :class:`HistoryBatch` with the
        items that ``convert`` makes from the messages of the run. ``convert`` runs in another
        thread.

        Raises:
            KafkaUnavailable: The brokers don't answer or report an error, or this reader was
                closed.
        """
        ...

    def close(self) -> None:
        """Start to close this reader, and return at once."""
        ...


class History(Protocol):
    """Opens readers of the events of single runs."""

    async def open(
        self, topic: str, key: bytes, since: datetime, positions: Mapping[int, int] | None = None
    ) -> RunHistory:
        """Return a new :class:`RunHistory`, which reads the messages that have the key ``key``.

        Args:
            topic: The topic.
            key: The key of the messages.
            since: The first message to read has this timestamp or a later one.
            positions: Where an earlier reader stopped (:attr:`HistoryBatch.positions`): the offset
                of the first message to read, by partition. For these partitions, ``since`` is
                ignored.

        Raises:
            TooManyReaders: As many readers are open as the settings allow, and no reader was closed
                within some seconds.
            KafkaUnavailable: The brokers don't answer, or refuse the topic.
        """
        ...
