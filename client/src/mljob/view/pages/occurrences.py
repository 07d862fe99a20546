"""Conditions and Kubernetes Events: what has happened to an object, and when."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from .marks import Mark
from .outside_text import mapping_of, text_of, time_of

MAX_EVENTS: Final = 100
"""The maximum number of Events that a page shows."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A condition or a Kubernetes Event, as a page shows it.

    Attributes:
        name: The type of the condition, or the reason of the Event.
        times: How often the Event has occurred. Always 1 for a condition.
    """

    mark: Mark
    name: str
    message: str
    at: datetime | None
    times: int = 1


@dataclass(frozen=True, slots=True)
class KubeEvent:
    """The parts of a Kubernetes Event that the view keeps.

    Attributes:
        name: The name of the Event.
        uid: The uid of the object that the Event is about.
        shown: The part that the page shows.
    """

    name: str
    uid: str
    shown: Occurrence


def event_of(event: Mapping[str, Any]) -> KubeEvent:
    """Return the parts of an Event that the view keeps. A field of an unexpected type counts as
    missing.

    Args:
        event: The Event as JSON from the Kubernetes API.
    """
    metadata, about = mapping_of(event.get("metadata")), mapping_of(event.get("involvedObject"))
    return KubeEvent(text_of(metadata.get("name"), 253), text_of(about.get("uid"), 64), _occurrence(event))


def newest(events: Iterable[KubeEvent]) -> tuple[Occurrence, ...]:
    """Return the newest :data:`MAX_EVENTS` Events as a page shows them, the newest first."""
    shown = (event.shown for event in events)
    return tuple(heapq.nlargest(MAX_EVENTS, shown, key=lambda one: one.at.timestamp() if one.at else 0.0))


def _occurrence(event: Mapping[str, Any]) -> Occurrence:
    series = mapping_of(event.get("series"))
    at = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
    )
    count = next((number for number in (series.get("count"), event.get("count")) if isinstance(number, int)), 1)
    is_warning = event.get("type") == "Warning"
    return Occurrence(
        Mark("failed", "Warning", "bad") if is_warning else Mark("info", "Normal", "neutral"),
        text_of(event.get("reason"), 128),
        text_of(event.get("note") or event.get("message"), 1_024),
        next((time for value in at if (time := time_of(value))), None),
        max(1, count),
    )
