"""A Kafka topic for tests of :class:`.TopicReader`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mljob_operator.core.run.offsets import Partition
from mljob_operator.ports import Message


class FakeTopic:
    """A topic whose messages the test delivers.

    Attributes:
        committed: The committed offset of each partition.
        dead_letters: Why each unreadable message was sent to the dead-letter topic.
        pauses: The requests to pause (True) and to resume (False) the fetching of messages.
    """

    def __init__(self) -> None:
        self.committed: dict[Partition, int] = {}
        self.dead_letters: list[str] = []
        self.pauses: list[bool] = []

    def start(self, *_: Any) -> None: ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed.update(offsets)

    def pause(self, *, paused: bool) -> None:
        self.pauses.append(paused)

    def dead_letter(self, message: Message, why: str) -> None:
        self.dead_letters.append(why)

    async def close(self) -> None: ...
