from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

OURS, AIRFLOWS = "ours", "Airflow's"


@dataclass(frozen=True)
class Told:
    """A message on the event topic.

    Attributes:
        producer: ``OURS`` if this project's Airflow provider sent the message, or ``AIRFLOWS`` if
            Airflow's own ``kafka_event_producer`` sent the message.
        event: The kind of event, such as ``task_instance.running``.
        task: Task id and map index. None for an event about the run.
        at: The message's timestamp in Kafka, in seconds since the epoch.
    """

    producer: str
    event: str
    run_id: str
    task: tuple[str, int] | None
    try_number: int | None
    at: float
    key: bytes
    value: bytes

    @property
    def state(self) -> str:
        return self.event.rpartition(".")[2]


class Topic:
    """Reads all messages of a topic that were sent since this object was created."""

    def __init__(self, servers: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": "nobody", "enable.auto.commit": False})
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in partitions]
        ends = {place: self._consumer.get_watermark_offsets(place, timeout=30)[1] for place in places}
        self._consumer.assign([TopicPartition(topic, place.partition, end) for place, end in ends.items()])
        self._told: dict[str, list[Told]] = defaultdict(list)

    def about(self, run_id: str | None) -> list[Told]:
        while batch := self._consumer.consume(500, timeout=0.05):
            for message in batch:
                assert message.error() is None, message.error()
                told = _told(message)
                self._told[told.run_id].append(told)
        return self._told[run_id] if run_id else []

    def close(self) -> None:
        self._consumer.close()


def _told(message: Any) -> Told:
    said = json.loads(message.value())
    return Told(
        producer=OURS if "mljob_version" in said else AIRFLOWS,
        event=said["event"],
        run_id=said["run_id"],
        task=(said["task_id"], said["map_index"]) if "task_id" in said else None,
        try_number=said.get("try_number"),
        at=message.timestamp()[1] / 1000,
        key=message.key(),
        value=message.value(),
    )
