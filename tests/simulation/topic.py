"""The Kafka topic of the simulation. Messages are delayed, lost or duplicated. After a rebalance,
the messages after the committed offset are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from mljob_operator.core.run.offsets import Partition
from mljob_operator.ports import Message

from .network import ONE_WAY, Wire

PARTITION: Partition = ("airflow.events", 0)


class Topic:
    """The topic of the events in the simulation. It has one partition.

    Attributes:
        under_way: Messages that producers have sent, but that the broker has not stored yet.
        log: Messages that the broker has stored.
        committed: The offset at which a new member of the group begins to read. None means the end
            of the log.
        down: Whether the broker is down.
        members: The members of the consumer group; the newest member has the partition.
    """

    name = PARTITION[0]

    def __init__(self) -> None:
        self.under_way: list[bytes] = []
        self.log: list[bytes] = []
        self.committed: int | None = None
        self.down = False
        self.members: list[Reader] = []

    def send(self, message: bytes) -> None:
        """Add a message to ``under_way``. Producers call this method."""
        self.under_way.append(message)

    def arrives(self, index: int, copies: int) -> None:
        """Move one of the messages in ``under_way`` to ``log``, where the message is stored
        ``copies`` times. With 0 copies the message is lost. ``index`` chooses the message, and may
        be any integer: the index is taken modulo the number of messages. Do nothing if
        ``under_way`` is empty.
        """
        if self.under_way:
            message = self.under_way.pop(index % len(self.under_way))
            self.log += [message] * copies


class Reader:
    """The Kafka consumer of one operator process. The consumers of all operator processes are
    members of the same consumer group.

    Attributes:
        news: An asyncio event that is set when there may be messages to read.
    """

    def __init__(self, topic: Topic, wire: Wire) -> None:
        self._topic = topic
        self._wire = wire
        self._paused = False
        self._position = len(topic.log) if topic.committed is None else topic.committed
        self._task: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        self._revoked: Callable[[Sequence[Partition]], None] = lambda _: None

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Join the consumer group, and read from the offset that was committed when this reader was
        created. This member gets the partition, and the other members lose the partition.
        ``deliver`` is called with the messages that this member reads. ``revoked`` is called with
        the partition when this member loses the partition.
        """
        self._revoked = revoked
        for member in self._topic.members:
            member.lose()
        self._topic.members.append(self)
        self._task = asyncio.create_task(self._read(deliver), name="kafka")

    async def _read(self, deliver: Callable[[Sequence[Message]], None]) -> None:
        while True:
            await asyncio.sleep(2 * ONE_WAY)
            new = self._topic.log[self._position :]
            if not new or self._paused or self._topic.down or not self._assigned:
                self.news.clear()
                await self.news.wait()
                continue
            messages = [Message(PARTITION, self._position + n, None, value, 0) for n, value in enumerate(new)]
            self._position += len(new)
            deliver(messages)

    @property
    def _assigned(self) -> bool:
        return self._topic.members[-1:] == [self]

    def rebalance(self) -> None:
        """Revoke the partition from this member, and assign the partition to this member again. A
        rebalance of the group may do the same. The member then reads the messages after the
        committed offset once more.
        """
        self.lose()
        self.gain()

    def lose(self) -> None:
        """Tell the operator that this member has lost the partition."""
        self._revoked([PARTITION])

    def gain(self) -> None:
        """Continue to read at the committed offset, because this member has got the partition. If
        no offset is committed, continue at the end of the log.
        """
        self._position = len(self._topic.log) if self._topic.committed is None else self._topic.committed
        self.news.set()

    def leave(self) -> None:
        """Remove this member from the consumer group, and stop reading. If this member had the
        partition, the newest remaining member gets the partition.
        """
        if self._task is not None:
            self._task.cancel()
        if self in self._topic.members:
            had_it = self._assigned
            self._topic.members.remove(self)
            if had_it and self._topic.members:
                self._topic.members[-1].gain()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets without waiting for the response. If this member has lost the partition,
        the broker ignores the commit.
        """

        def stored() -> None:
            # The broker accepts no offset from a member that has lost the partition.
            if self._assigned:
                self._topic.committed = offsets.get(PARTITION, self._topic.committed)

        self._wire.at_once(stored)

    def pause(self, *, paused: bool) -> None:
        """Stop reading messages (``paused`` is true), or resume reading."""
        self._paused = paused
        self.news.set()

    def dead_letter(self, message: Message, why: str) -> None:
        """Fail the test. In the simulation every message is readable, so the operator must send no
        message to the dead-letter topic.
        """
        raise AssertionError(f"{why}: {message.value!r}")

    async def close(self) -> None:
        """Leave the consumer group, and stop reading."""
        self.leave()
