"""The response of the subresource ``mljobs/events`` of ``run.mljob.dev``: the history of an MLJob's
run. The aggregated API server, mljob-api, sends the response. mljob-api reads the history from
Kafka. Without Kafka, mljob-api reads the states of the run and its tasks from Airflow's REST API
instead.

The response has the format JSON lines (``application/x-ndjson``): each line is one
:data:`HistoryEntry`. An empty line is a heartbeat, which keeps idle connections open. Readers skip
heartbeats. The last line of a response is a :class:`HistoryEnd`. If this line is missing, the
response was cut off, and the reader must repeat the request.

The Kubernetes API server cuts off the response to a GET of ``mljobs/events`` after a minute. So if
such a response is not complete after 50 seconds, mljob-api ends the response. The last line then
has the reason ``Limit``. If the history comes from Kafka, the last line also has a cursor. With
this cursor as the parameter ``after``, the reader's next request continues after the entries of
this response. A watch (:func:`.run_path` with ``watch=True``) can last for hours.

Entries from Kafka come in the order of the Kafka partition. Kafka may deliver an event twice, so a
reader that counts entries must first remove duplicates.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from .airflow_id import AirflowId
from .events import MAX_INT, Finite, MetricName
from .mljob.status import StatusSource
from .resource import ResourceModel
from .times import Time

MAX_CURSOR_LENGTH: Final = 2048
"""The maximum number of characters of a cursor."""
MAX_ENTRY_BYTES: Final = 64 * 1024
"""The maximum number of bytes of a line. A longer line is not an entry."""

MapIndex = Annotated[int, Field(ge=-1, le=MAX_INT)]
"""The index of an instance of a mapped task, from 0, or -1 for a task that is not mapped."""
TryNumber = Annotated[int, Field(ge=0, le=MAX_INT)]
"""The number of a try, from 1, or 0 before the first try."""


class _Entry(ResourceModel):
    """The fields of each entry about a run or a task."""

    time: Time
    """The time of the change or of the report, by the clock of the producer, with a time zone."""
    source: StatusSource
    """Kafka: read from the topic of events. REST: read from Airflow's REST API, from which only the
    newest try of each task is read.
    """


class _TaskEntry(_Entry):
    """The fields of each entry about a task instance."""

    task_id: AirflowId
    """The id of the task in its DAG, with the ids of its groups."""
    map_index: MapIndex = -1
    """The index of an instance of a mapped task, from 0. The value is -1 for a task that is not
    mapped."""
    try_number: TryNumber
    """The number of the try, from 1. The value is 0 before the first try."""


class RunChange(_Entry):
    """An entry for a change of the run's state."""

    kind: Literal["run"] = "run"
    """The kind of this entry. Readers distinguish the kinds of entries by this field."""
    state: str
    """Airflow's name of the state: queued, running, success or failed."""


class EntryError(ResourceModel):
    """The error with which a try of a task failed."""

    type: str | None = None
    """The class of the exception, for example ValueError. Absent if Airflow does not report it."""
    message: str
    """The text of the exception, cut to 1,000 characters."""


class TaskChange(_TaskEntry):
    """An entry for a change of a task instance's state."""

    kind: Literal["task"] = "task"
    """The kind of this entry. Readers distinguish the kinds of entries by this field."""
    state: str
    """Airflow's name of the state, such as running, success, failed, up_for_retry or deferred."""
    start_time: Time | None = None
    """When the try started."""
    end_time: Time | None = None
    """When the try ended."""
    error: EntryError | None = None
    """Why the try failed."""


class ProgressReport(_TaskEntry):
    """An entry with the progress that a running task has reported."""

    kind: Literal["progress"] = "progress"
    """The kind of this entry. Readers distinguish the kinds of entries by this field."""
    progress: Annotated[float, Field(ge=0, le=1)]
    """The share of the task's work that is done, from 0 to 1."""


class MetricsReport(_TaskEntry):
    """An entry with the metrics that a running task has reported."""

    kind: Literal["metrics"] = "metrics"
    """The kind of this entry. Readers distinguish the kinds of entries by this field."""
    metrics: dict[MetricName, Finite]
    """The numbers by name, such as epoch, loss or rows: at most 20."""


class EndReason(StrEnum):
    """The reason why a response ends."""

    COMPLETE = "Complete"
    """All entries up to now were sent. With ``follow``, the run has ended too."""
    LIMIT = "Limit"
    """A limit of mljob-api was reached: entries, bytes or time. More entries may exist."""
    FAILED = "Failed"
    """Airflow, Kafka or the Kubernetes API failed. More entries may exist."""


class HistoryEnd(ResourceModel):
    """The last entry of a response, which says why the response ends. If events were read from
    Kafka, the entry also has the position at which the next request can begin.
    """

    kind: Literal["end"] = "end"
    """The kind of this entry. Readers distinguish the kinds of entries by this field."""
    reason: EndReason
    """The reason why the response ends."""
    message: str = ""
    """The reason in a sentence, and what to do next."""
    cursor: str | None = None
    """The position after the last entry. If a request has this text as its parameter ``after``, the
    response begins at this position. Absent without Kafka.
    """


class HistoryNotice(ResourceModel):
    """An entry in which mljob-api tells the reader something about the history itself, for example
    that older events are missing.
    """

    kind: Literal["notice"] = "notice"
    """The kind of this entry. Readers distinguish the kinds of entries by this field."""
    message: str
    """The notice, in a sentence."""


HistoryEntry = Annotated[
    RunChange | TaskChange | ProgressReport | MetricsReport | HistoryNotice | HistoryEnd, Field(discriminator="kind")
]
"""One line of the history."""

_ENTRY: Final[TypeAdapter[HistoryEntry]] = TypeAdapter(HistoryEntry)


def parse_entry(line: str | bytes) -> HistoryEntry | None:
    """Return the entry in a line of the history. Return None if the line is a heartbeat, or if this
    version of the package does not know the entry's kind.

    Raises:
        ValueError: The line is not a valid entry, or is longer than :data:`MAX_ENTRY_BYTES`.
    """
    text = line.strip()
    if not text:
        return None
    if len(text) > MAX_ENTRY_BYTES:
        raise ValueError(f"a line of the history has {len(text)} bytes, more than {MAX_ENTRY_BYTES}")
    try:
        return _ENTRY.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "union_tag_invalid":
            return None
        raise ValueError(f"a line of the history is not an entry: {first['msg']}") from None


def entry_line(entry: HistoryEntry) -> bytes:
    """Return an entry as a line of the history: JSON and a line break. Fields whose value is None
    are left out.
    """
    return entry.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
