"""An event as a Kafka message: CloudEvents 1.0, Kafka protocol binding, binary content mode.

The value is the event alone; what it is, where it comes from and when are Kafka headers, so that a router needs no JSON.
The key is the run, so that all events of a run share a partition and stay in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.events import CE_TYPE_PREFIX, TaskEvent


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message, ready to be produced."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def message_from_event(event: TaskEvent, *, event_id: str) -> Message:
    """Write ``event`` as a message; ``event_id`` makes it unique together with its source."""
    subject = f"{event.dag_id}/{event.run_id}/{event.task_id}"
    if event.map_index >= 0:
        subject += f"/{event.map_index}"
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": event.source,
        "ce_type": CE_TYPE_PREFIX + event.event.value,
        "ce_time": event.timestamp.isoformat(),
        "ce_subject": subject,
        "content-type": "application/json",
    }
    return Message(
        key=f"{event.dag_id}/{event.run_id}".encode(),
        value=event.model_dump_json(exclude_none=True).encode(),
        headers=[(name, text.encode()) for name, text in attributes.items()],
    )
