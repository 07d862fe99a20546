from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from mljob_operator.errors import KafkaUnavailable
from mljob_operator.ports import HistoryBatch, Message

T = TypeVar("T")

BATCH = 100
"""The maximum number of messages of a batch."""


class FakeTopics:
    """Kafka topics in memory, each with one partition.

    Attributes:
        begun_at: The offset at which each reader began, oldest reader first.
        deleted: How many of the oldest messages of each topic are deleted. A test sets this number.
    """

    def __init__(self) -> None:
        self._topics: dict[str, list[Message]] = {}
        self.down = False
        self.open_readers = 0
        self.begun_at: list[int] = []
        self.deleted = 0

    def send(self, topic: str, key: bytes, value: bytes | None, at: datetime | None = None) -> None:
        messages = self._topics.setdefault(topic, [])
        stamp = int((at or datetime.now(UTC)).timestamp() * 1000)
        messages.append(Message((topic, 0), len(messages), key, value, stamp))

    async def open(
        self, topic: str, key: bytes, since: datetime, positions: Mapping[int, int] | None = None
    ) -> FakeRunHistory:
        if self.down:
            raise KafkaUnavailable("Kafka can't be read")
        messages = self._topics.setdefault(topic, [])
        first = next(
            (message.offset for message in messages if message.timestamp_ms >= since.timestamp() * 1000), len(messages)
        )
        continues = positions is not None and 0 in positions
        begin = max(self.deleted, positions[0] if positions is not None and continues else first)
        incomplete = positions is not None and positions[0] < self.deleted if continues else 0 < self.deleted == begin
        self.begun_at.append(begin)
        self.open_readers += 1
        return FakeRunHistory(self, messages, key, begin, incomplete=incomplete)


class FakeRunHistory:
    def __init__(
        self, topics: FakeTopics, messages: Sequence[Message], key: bytes, begin: int, *, incomplete: bool
    ) -> None:
        self._topics = topics
        self._messages = messages
        self._key = key
        self._position = begin
        self.incomplete = incomplete
        self._closed = False

    async def read(self, convert: Callable[[Message], Sequence[T]]) -> HistoryBatch[T]:
        if self._topics.down:
            raise KafkaUnavailable("Kafka can't be read")
        found = self._messages[self._position : self._position + BATCH]
        self._position += len(found)
        if not found:
            await asyncio.sleep(0.01)
        items = [item for message in found if message.key == self._key for item in convert(message)]
        return HistoryBatch(items, {0: self._position}, self._position >= len(self._messages))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._topics.open_readers -= 1
