"""For each partition of a Kafka topic, finds the offset that is safe to commit.

A message is done when the status that the message changes is stored, or when no MLJob needs the
message. Messages are not done in the order of their offsets, because the operator writes the
statuses of several MLJobs concurrently. The safe offset is the offset of the first message that was
read and is not done. If all messages that were read are done, the safe offset is the offset after
the last of these messages.

Only the messages that are not done take memory. One message may stay not done for days, because the
status of its MLJob can't be stored. So the safe offset is at most ``MAX_BEHIND`` offsets behind the
last message that was read.
"""

from __future__ import annotations

Partition = tuple[str, int]
"""The topic and the number of the partition."""

MAX_BEHIND = 100_000
"""The highest number of messages of a partition that the next process reads again. The next process
does not read an older message again, even if this message is not done. The REST API's change feed
has the states that this message reports.
"""


class Offsets:
    """Tracks which messages of each partition are done."""

    def __init__(self) -> None:
        # The dicts are ordered sets: the offsets of each partition in the order of delivery.
        self._not_done: dict[Partition, dict[int, None]] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    @property
    def in_flight(self) -> int:
        """The number of messages that were read and are not done."""
        return sum(map(len, self._not_done.values()))

    def read(self, partition: Partition, offset: int) -> None:
        """Record that a message was read. The messages of a partition must be read in the order of
        their offsets; some offsets may have no message. If a message is read again, it counts as
        not done until it is done again.
        """
        self._not_done.setdefault(partition, {})[offset] = None
        self._next[partition] = offset + 1

    def done(self, partition: Partition, offset: int) -> None:
        """Record that a message is done. Do nothing if the partition was revoked after the message
        was read.
        """
        if (not_done := self._not_done.get(partition)) is not None:
            not_done.pop(offset, None)

    def to_commit(self) -> dict[Partition, int]:
        """Return the safe offset of each partition whose safe offset has changed since the previous
        call of this method.
        """
        moved = {}
        for partition, following in self._next.items():
            first = next(iter(self._not_done[partition]), following)
            position = max(first, following - MAX_BEHIND)
            if position != self._committed.get(partition):
                moved[partition] = self._committed[partition] = position
        return moved

    def revoked(self, partition: Partition) -> None:
        """Forget a partition that now belongs to another consumer, or that is now read from another
        position.
        """
        for table in (self._not_done, self._next, self._committed):
            table.pop(partition, None)
