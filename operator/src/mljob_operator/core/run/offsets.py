"""For each partition of a Kafka topic, finds the offset that is safe to commit.

A message is done when the status that the message changes is stored, or when no MLJob needs the
message. Messages are not done in the order of their offsets, because the operator writes the
statuses of several MLJobs concurrently. The safe offset is the offset of the first message that was
read and is not done. If all messages that were read are done, the safe offset is the offset after
the last of these messages.
"""

from __future__ import annotations

from collections import OrderedDict

Partition = tuple[str, int]
"""The topic and the number of the partition."""


class Offsets:
    """Tracks which messages of each partition are done."""

    def __init__(self) -> None:
        self._pending: dict[Partition, OrderedDict[int, bool]] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    @property
    def in_flight(self) -> int:
        """The number of messages that were read and can't be committed yet."""
        return sum(map(len, self._pending.values()))

    def read(self, partition: Partition, offset: int) -> None:
        """Record that a message was read. The messages of a partition must be read in the order of
        their offsets.
        """
        self._pending.setdefault(partition, OrderedDict())[offset] = False
        self._next[partition] = offset + 1

    def done(self, partition: Partition, offset: int) -> None:
        """Record that a message is done. Do nothing if the partition was revoked after the message
        was read.
        """
        pending = self._pending.get(partition)
        if pending is None or offset not in pending:
            return
        pending[offset] = True
        while pending and pending[next(iter(pending))]:
            pending.popitem(last=False)

    def to_commit(self) -> dict[Partition, int]:
        """Return the safe offset of each partition whose safe offset has changed since the previous
        call of this method.
        """
        moved = {}
        for partition, following in self._next.items():
            pending = self._pending.get(partition)
            position = next(iter(pending)) if pending else following
            if position != self._committed.get(partition):
                moved[partition] = self._committed[partition] = position
        return moved

    def revoked(self, partition: Partition) -> None:
        """Forget a partition that now belongs to another consumer, or that is now read from another
        position.
        """
        for table in (self._pending, self._next, self._committed):
            table.pop(partition, None)
