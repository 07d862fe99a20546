"""Which Kafka offsets are safe to commit: those before the first message whose status is not
written yet.

The operator writes the statuses of several MLJobs concurrently, so messages are done out of order.
A committed offset states that everything before it is done. Messages that are read again after a
crash give the same status.
"""

from __future__ import annotations

from collections import OrderedDict

Partition = tuple[str, int]
"""Topic and partition."""


class Offsets:
    """The messages in flight of each partition."""

    def __init__(self) -> None:
        self._pending: dict[Partition, OrderedDict[int, bool]] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    @property
    def in_flight(self) -> int:
        """How many messages were read and are not done, or are done but come after a message that
        is not.
        """
        return sum(map(len, self._pending.values()))

    def read(self, partition: Partition, offset: int) -> None:
        """Note that a message was read. The offsets of one partition rise."""
        self._pending.setdefault(partition, OrderedDict())[offset] = False
        self._next[partition] = offset + 1

    def done(self, partition: Partition, offset: int) -> None:
        """Note that a message is done: its status is written, or no MLJob needs it. A partition
        that was revoked meanwhile is ignored.
        """
        pending = self._pending.get(partition)
        if pending is None or offset not in pending:
            return
        pending[offset] = True
        while pending and pending[next(iter(pending))]:
            pending.popitem(last=False)

    def to_commit(self) -> dict[Partition, int]:
        """The offsets to commit, for partitions whose offset moved since the last call. Each is
        that of the next message to be read after a restart.
        """
        moved = {}
        for partition, following in self._next.items():
            pending = self._pending.get(partition)
            position = next(iter(pending)) if pending else following
            if position != self._committed.get(partition):
                moved[partition] = self._committed[partition] = position
        return moved

    def revoked(self, partition: Partition) -> None:
        """Forget a partition that now belongs to another consumer, or is read from another
        position.
        """
        for table in (self._pending, self._next, self._committed):
            table.pop(partition, None)
