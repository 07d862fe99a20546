"""Turns events into Kafka messages, in the binary content mode of CloudEvents 1.0.

The value of a message is the event as JSON, and the headers are the CloudEvents attributes. The key
is the DAG id and the run id, so Kafka stores all events of a run in one partition. If Kafka's
client sends a message again after an error, Kafka may store this message behind the message of a
later event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mljob_contract.events import CE_TYPE_PREFIX, RunCancellation, TaskEvent


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message to send."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def message_from_event(event: TaskEvent, *, event_id: str) -> Message:
    """Make the message for a task event.

    Args:
        event: The event.
        event_id: The CloudEvents attribute ``id``, unique for the event's source.
    """
    subject = f"{event.dag_id}/{event.run_id}/{event.task_id}"
    if event.map_index >= 0:
        subject += f"/{event.map_index}"
    return Message(
        key=f"{event.dag_id}/{event.run_id}".encode(),
        value=event.model_dump_json(exclude_none=True).encode(),
        headers=headers(event_id, event.source, CE_TYPE_PREFIX + event.event.value, event.timestamp, subject),
    )


def message_from_cancellation(cancellation: RunCancellation, *, event_id: str) -> Message:
    """Make the message for the event about a cancelled run.

    Args:
        cancellation: The event.
        event_id: The CloudEvents attribute ``id``, unique for the event's source.
    """
    subject = f"{cancellation.dag_id}/{cancellation.run_id}"
    return Message(
        key=subject.encode(),
        value=cancellation.model_dump_json(exclude_none=True).encode(),
        headers=headers(
            event_id, cancellation.source, CE_TYPE_PREFIX + cancellation.event, cancellation.timestamp, subject
        ),
    )


def headers(event_id: str, source: str, kind: str, time: datetime, subject: str) -> list[tuple[str, bytes]]:
    """Return the CloudEvents attributes of an event as Kafka headers.

    Args:
        event_id: The attribute ``id``, unique for ``source``.
        source: The name of this Airflow, from the option ``[mljob] source``.
        kind: The attribute ``type``.
        time: The time of the event, with a time zone.
        subject: The attribute ``subject``, for example ``<DAG id>/<run id>/<task id>``.
    """
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": source,
        "ce_type": kind,
        "ce_time": time.isoformat(),
        "ce_subject": subject,
        "content-type": "application/json",
    }
    return [(name, text.encode()) for name, text in attributes.items()]
