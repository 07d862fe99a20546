from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from mljob_operator.core.run.offsets import Partition
from mljob_operator.ports import Message

from .network import ONE_WAY, Wire

PARTITION: Partition = ("airflow.events", 0)


class Topic:
    """A Kafka topic with one partition.

    Attributes:
        under_way: Messages that producers have sent, but that the broker has not stored yet.
        log: Messages that the broker has stored.
        committed: The offset at which a new consumer begins to read. None means the end of the log.
        members: The consumers in the group. The newest consumer has the partition.
    """

    name = PARTITION[0]

    def __init__(self) -> None:
        self.under_way: list[bytes] = []
        self.log: list[bytes] = []
        self.committed: int | None = None
        self.down = False
        self.members: list[Reader] = []

    def send(self, message: bytes) -> None:
        self.under_way.append(message)

    def arrives(self, index: int, copies: int) -> None:
        """Remove one message from ``under_way``, and append the message to ``log`` ``copies``
        times. With 0 copies, the message is lost. If ``under_way`` is empty, do nothing.

        Args:
            index: Any integer. The message has the position ``index`` modulo the length of
                ``under_way``.
            copies: How often the broker stores the message.
        """
        if self.under_way:
            message = self.under_way.pop(index % len(self.under_way))
            self.log += [message] * copies


class Reader:
    """The Kafka consumer of one operator process. All consumers are in the same consumer group.

    Attributes:
        news: An ``asyncio.Event`` that is set when there may be messages to read.
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
        """Join the consumer group. Then this consumer has the partition, and the other consumers
        don't have the partition.

        Args:
            deliver: Called with the messages that this consumer reads.
            revoked: Called with a list that contains the partition, at each rebalance of this
                consumer and each time that another consumer joins the group.
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
        """Lose the partition and get the partition back. This consumer then continues at the
        committed offset, so it reads uncommitted messages a second time. If no offset was ever
        committed, it continues at the end of the log.
        """
        self.lose()
        self.gain()

    def lose(self) -> None:
        self._revoked([PARTITION])

    def gain(self) -> None:
        self._position = len(self._topic.log) if self._topic.committed is None else self._topic.committed
        self.news.set()

    def leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self in self._topic.members:
            had_it = self._assigned
            self._topic.members.remove(self)
            if had_it and self._topic.members:
                self._topic.members[-1].gain()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        def stored() -> None:
            # The broker accepts no offset from a member that has lost the partition.
            if self._assigned:
                self._topic.committed = offsets.get(PARTITION, self._topic.committed)

        self._wire.at_once(stored)

    def pause(self, *, paused: bool) -> None:
        self._paused = paused
        self.news.set()

    def dead_letter(self, message: Message, why: str) -> None:
        raise AssertionError(f"{why}: {message.value!r}")

    async def close(self) -> None:
        self.leave()
