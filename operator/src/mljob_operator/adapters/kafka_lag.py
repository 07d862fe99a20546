"""Counts the unread messages of a Kafka topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unread(statistics: Mapping[str, Any], topic: str) -> int:
    """Return the number of unread messages of a topic, over all partitions.

    A partition counts as fully read if its end, or the consumer's position in it, is unknown.

    Args:
        statistics: librdkafka's statistics (STATISTICS.md).
        topic: The name of the topic.
    """
    partitions = (statistics.get("topics") or {}).get(topic, {}).get("partitions") or {}
    return sum(_unread_of(partition) for partition in partitions.values())


def _unread_of(partition: Mapping[str, Any]) -> int:
    # An unknown offset is negative. librdkafka's own consumer_lag counts from the committed offset,
    # and the operator commits an offset only when the status with the message's fact is stored.
    end = partition.get("hi_offset", -1)
    position = max(partition.get("app_offset", -1), partition.get("committed_offset", -1))
    return int(max(0, end - position)) if end >= 0 and position >= 0 else 0
