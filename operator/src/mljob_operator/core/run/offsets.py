"""Which Kafka offsets are safe to commit: those before the first message whose status is not written yet.

Statuses of different MLJobs are written side by side, so messages are done out of order; a committed offset says that everything
before it is done. What is read again after a crash folds to the same status.
"""

from __future__ import annotations

from collections import OrderedDict

Partition = tuple[str, int]
"""Topic and partition."""


class Offsets:
    """Messages under way, a partition at a time."""

    def __init__(self) -> None:
        self._pending: dict[Partition, OrderedDict[int, bool]] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    @property
    def in_flight(self) -> int:
        """How many messages are read and not yet done, or done behind one that is not."""
        return sum(map(len, self._pending.values()))

    def read(self, partition: Partition, offset: int) -> None:
        """A message was read. Messages of one partition come in rising order."""
        self._pending.setdefault(partition, OrderedDict())[offset] = False
        self._next[partition] = offset + 1

    def done(self, partition: Partition, offset: int) -> None:
        """The status that holds the message is written, or nobody needs it. A partition that was revoked meanwhile is ignored."""
        pending = self._pending.get(partition)
        if pending is None or offset not in pending:
            return
        pending[offset] = True
        while pending and pending[next(iter(pending))]:
            pending.popitem(last=False)

    def to_commit(self) -> dict[Partition, int]:
        """Offsets to commit, for partitions where they moved since the last call: the next message to be read after a restart."""
        moved = {}
        for partition, following in self._next.items():
            pending = self._pending.get(partition)
            position = next(iter(pending)) if pending else following
            if position != self._committed.get(partition):
                moved[partition] = self._committed[partition] = position
        return moved

    def revoked(self, partition: Partition) -> None:
        """The partition belongs to somebody else now, or starts anew."""
        for table in (self._pending, self._next, self._committed):
            table.pop(partition, None)
