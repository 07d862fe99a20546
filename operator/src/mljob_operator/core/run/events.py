"""Converts Kafka messages into facts about runs and tasks (:mod:`.facts`).

Two producers send messages to the topic that the operator reads:

- The MLJob provider, this project's package for Airflow. Its messages have the field
  ``mljob_version`` (:mod:`mljob_contract.events`).
- Airflow's own ``kafka_event_producer``. Its messages have the field ``schema_version``
  (apache-airflow-providers-apache-kafka, "Kafka event producer").

Everybody who may write to the topic can write any message. So the operator checks each field that
it uses: the type, the length of a text, the range of a number, and whether a time is between the
year 2000 and tomorrow.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mljob_contract.airflow_id import AirflowId
from mljob_contract.events import (
    CANCELLATION_EVENT,
    MAX_INT,
    MAX_MESSAGE_BYTES,
    CancellationOutcome,
    EventName,
    RunCancellation,
    RunId,
    Source,
    TaskEvent,
    Text,
    Whole,
)
from mljob_contract.mljob import StatusSource

from ..frozen import frozen
from ..text.storable import cut
from .facts import Details, Failure, Report, RunFact, TaskFact
from .states import RunState, TaskState

OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
"""The earliest time that a message may have. Airflow did not exist before this time."""
MAX_AHEAD = timedelta(days=1)
"""The maximum time by which a producer's clock may be ahead of the operator's clock."""
MAX_VALUES = 100_000
"""The maximum number of commas and opening brackets in a message, which bounds the number of JSON
values. A message of 1 MiB could have 350,000 values (``[],``). Parsing so many values would block
the operator for a tenth of a second.
"""
MAX_TEXT = 1000
"""The maximum length of an error's text, in characters. The MLJob provider cuts texts at the same
length.
"""
MAX_TYPE = 120
"""The maximum length of the name of an exception's class, in characters."""
MAX_WHY = 300
"""The maximum length of the reason why a message can't be read, in characters."""


class Unreadable(ValueError):
    """The error for a Kafka message that the operator can't read.

    Attributes:
        kind: The kind of the problem, for logs: too_large, not_json, unknown_format (neither from
            the MLJob provider nor from Airflow's own producer) or invalid (a field is invalid).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(cut(message, MAX_WHY))
        self.kind = kind


@frozen
class Envelope:
    """The content of a message.

    Attributes:
        fact: What the message reports about the run ``run_id`` or about a task of this run. None if
            the operator does not use the message.
        source: The name that the sending Airflow gives itself, or None if the message has no such
            name.
    """

    dag_id: str
    run_id: str
    fact: TaskFact | RunFact | None
    source: str | None = None


class OfficialEvent(BaseModel):
    """An event of Airflow's own producer (``kafka_event_producer``), schema version 1."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1]
    source: Source | None = None
    event: str
    timestamp: datetime
    dag_id: AirflowId
    run_id: RunId
    task_id: AirflowId | None = None
    try_number: Whole | None = None
    map_index: Annotated[int, Field(strict=True, ge=-1, le=MAX_INT)] | None = None
    error: Text | None = None


_OFFICIAL_TASK = {
    "task_instance.running": TaskState.RUNNING,
    "task_instance.success": TaskState.SUCCESS,
    "task_instance.failed": TaskState.FAILED,
    "task_instance.skipped": TaskState.SKIPPED,
}
_OFFICIAL_RUN = {
    "dag_run.running": RunState.RUNNING,
    "dag_run.success": RunState.SUCCESS,
    "dag_run.failed": RunState.FAILED,
}
_ENDS = {"success": RunState.SUCCESS, "failed": RunState.FAILED}
_PROVIDER_STATES = {
    EventName.TASK_RUNNING: TaskState.RUNNING,
    EventName.TASK_PROGRESS: TaskState.RUNNING,
    EventName.TASK_SUCCESS: TaskState.SUCCESS,
    EventName.TASK_FAILED: TaskState.FAILED,
    EventName.TASK_SKIPPED: TaskState.SKIPPED,
    EventName.TASK_UP_FOR_RETRY: TaskState.UP_FOR_RETRY,
}


def read(value: bytes, now: datetime) -> Envelope:
    """Return an :class:`Envelope` with the content of one Kafka message.

    Args:
        value: The value of the Kafka message.
        now: The time on the operator's clock.

    Raises:
        Unreadable: The message is too large, is not JSON, has an invalid field, or is neither from
            the MLJob provider nor from Airflow's own producer.
    """
    if len(value) > MAX_MESSAGE_BYTES:
        raise Unreadable("too_large", f"{len(value)} bytes, more than {MAX_MESSAGE_BYTES}")
    if value.count(b",") + value.count(b"[") + value.count(b"{") > MAX_VALUES:
        raise Unreadable("too_large", f"more than {MAX_VALUES} commas and opening brackets")
    try:
        message = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Unreadable("not_json", f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise Unreadable("unknown_format", f"a JSON {type(message).__name__}, not an object")
    try:
        if "mljob_version" in message and message.get("event") == CANCELLATION_EVENT:
            return _cancellation(RunCancellation.model_validate(message), now)
        if "mljob_version" in message:
            return _from_provider(TaskEvent.model_validate(message), now)
        if "schema_version" in message:
            return _from_airflow_producer(OfficialEvent.model_validate(message), now)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # The error names the top-level field only. Names of nested fields come from the message,
        # and must not reach people who may read this log but not the topic.
        field = str(first["loc"][0]) if first["loc"] else "the message"
        raise Unreadable("invalid", f"{field}: {first['msg']}") from None
    raise Unreadable("unknown_format", "has neither mljob_version nor schema_version")


def _from_provider(event: TaskEvent, now: datetime) -> Envelope:
    at = _plausible("timestamp", event.timestamp, now)
    failure = None
    if event.error is not None:
        failure = Failure(event.try_number, at, cut(event.error.message, MAX_TEXT), cut(event.error.type, MAX_TYPE))
    # The task of a progress event is still running, so an end in the event is ignored. The
    # timestamp is the time of the report, not of a change of state.
    reporting = event.event is EventName.TASK_PROGRESS
    fact = TaskFact(
        task_id=event.task_id,
        map_index=event.map_index,
        try_number=event.try_number,
        state=_PROVIDER_STATES[event.event],
        source=StatusSource.KAFKA,
        occurred_at=at,
        observed_at=now,
        max_tries=event.max_tries,
        start=_plausible("start_date", event.start_date, now) if event.start_date else None,
        end=_plausible("end_date", event.end_date, now) if event.end_date and not reporting else None,
        details=Details(
            progress=Report(event.try_number, at, progress=event.progress) if event.progress is not None else None,
            metrics=Report(event.try_number, at, metrics=event.metrics) if event.metrics else None,
            failure=failure,
        ),
    )
    return Envelope(event.dag_id, event.run_id, fact, event.source)


def _cancellation(event: RunCancellation, now: datetime) -> Envelope:
    """Return the Envelope of a message from the cancellation DAG, a DAG of the MLJob provider that
    ends runs of other DAGs. The Envelope's ``fact`` has the final state of the run to be cancelled,
    or is None if the cancellation did not end the run.
    """
    at = _plausible("timestamp", event.timestamp, now)
    state = _ENDS.get(event.state or "") if event.outcome is CancellationOutcome.CANCELLED else None
    fact = RunFact(state, StatusSource.KAFKA, at, now) if state is not None else None
    return Envelope(event.dag_id, event.run_id, fact, event.source)


def _from_airflow_producer(event: OfficialEvent, now: datetime) -> Envelope:
    at = _plausible("timestamp", event.timestamp, now)
    fact: TaskFact | RunFact | None = None
    if run := _OFFICIAL_RUN.get(event.event):
        fact = RunFact(run, StatusSource.KAFKA, at, now)
    elif (task := _OFFICIAL_TASK.get(event.event)) and event.task_id and event.try_number is not None:
        failed = task is TaskState.FAILED
        failure = Failure(event.try_number, at, cut(event.error, MAX_TEXT)) if failed and event.error else None
        fact = TaskFact(
            task_id=event.task_id,
            map_index=-1 if event.map_index is None else event.map_index,
            try_number=event.try_number,
            state=task,
            source=StatusSource.KAFKA,
            occurred_at=at,
            observed_at=now,
            certain=not failed,
            details=Details(failure=failure),
        )
    return Envelope(event.dag_id, event.run_id, fact, event.source)


def _plausible(field: str, at: datetime, now: datetime) -> datetime:
    if at.tzinfo is None:
        raise Unreadable("invalid", f"{field}: no time zone")
    if not OLDEST <= at <= now + MAX_AHEAD:
        raise Unreadable("invalid", f"{field}: is not between {OLDEST:%Y-%m-%d} and tomorrow")
    return at.astimezone(UTC)
