"""Reads from librdkafka's statistics how many messages of a topic the consumer has not read yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unread(statistics: Mapping[str, Any], topic: str) -> int:
    """Return the number of messages after the consumer's position, over all partitions of the
    topic.

    Args:
        statistics: librdkafka's statistics (STATISTICS.md).
        topic: The topic.

    Returns:
        The number of messages. A partition counts as completely read if librdkafka does not know
        the end of the partition or the consumer's position in the partition, for example because
        another member of the group reads the partition.
    """
    partitions = (statistics.get("topics") or {}).get(topic, {}).get("partitions") or {}
    return sum(_unread_of(partition) for partition in partitions.values())


def _unread_of(partition: Mapping[str, Any]) -> int:
    # An unknown offset is negative. librdkafka's own consumer_lag counts from the committed offset,
    # and the operator commits an offset only when the status with the message's fact is stored.
    end = partition.get("hi_offset", -1)
    position = max(partition.get("app_offset", -1), partition.get("committed_offset", -1))
    return int(max(0, end - position)) if end >= 0 and position >= 0 else 0
