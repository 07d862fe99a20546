"""The ports to Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.run.offsets import Partition


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message.

    Attributes:
        offset: The offset of the message in its partition.
        timestamp_ms: The time at which the producer created the message, or the broker stored the
            message, in milliseconds since the epoch.
    """

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Link:
    """Whether the brokers of a topic are connected.

    Attributes:
        brokers: The configured brokers, as statuses name them.
        problem: Why the brokers are not connected. None if they are connected, or were disconnected
            only for a short time.
    """

    connected: bool
    brokers: str
    problem: str | None = None


class EventSource(Protocol):
    """Reads a Kafka topic as a member of a consumer group."""

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Start to read. The arguments are called in the thread of the event loop.

        Args:
            deliver: Receives messages in the order in which they were read.
            revoked: Receives the partitions that this member no longer reads.
        """
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets without waiting for the result. A failure is logged. A later commit of the
        same partition has a higher offset, so a failed commit is not repeated.
        """
        ...

    def pause(self, *, paused: bool) -> None:
        """Pause or resume the fetching of messages. The member stays in the consumer group."""
        ...

    def dead_letter(self, message: Message, why: str) -> None:
        """Send an unreadable message to the dead-letter topic. Without such a topic, do nothing."""
        ...

    async def close(self) -> None:
        """Leave the consumer group."""
        ...
