"""Kafka messages of either producer, read into facts.

Two formats share the topic, told apart by their fields: ours (``mljob_version``, :mod:`mljob_contract.events`) and that of Airflow's
own ``kafka_event_producer`` (``schema_version``; apache-airflow-providers-apache-kafka, "Kafka event producer"). Ours tells of tasks, and of
what the cancellation DAG did to a run. What is neither, or
can't be read, is :class:`Unreadable`: the caller counts it and goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mljob_contract.events import CANCELLATION_EVENT, CancellationOutcome, EventName, RunCancellation, TaskEvent
from mljob_contract.mljob import StatusSource

from .facts import Failure, Report, RunFact, TaskFact
from .phases import RunState, TaskState
from .storable import whole

MAX_ID = 250
"""Characters of an id in Airflow."""


class Unreadable(ValueError):
    """A message in neither format.

    Attributes:
        kind: A short word for logs and metrics: not_json, unknown_format, invalid.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that was read: the run it is about, and what it says.

    Attributes:
        fact: None for an event that changes nothing.
        source: Which Airflow sent it, in its own words.
    """

    dag_id: str
    run_id: str
    fact: TaskFact | RunFact | None
    source: str | None = None


class OfficialEvent(BaseModel):
    """Airflow's own event, schema version 1."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1]
    source: str | None = None
    event: str
    timestamp: datetime
    dag_id: str
    run_id: str
    task_id: str | None = None
    try_number: Annotated[int, Field(ge=0)] | None = None
    map_index: int | None = None
    error: str | None = None


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
_OURS = {
    EventName.TASK_RUNNING: TaskState.RUNNING,
    EventName.TASK_PROGRESS: TaskState.RUNNING,
    EventName.TASK_SUCCESS: TaskState.SUCCESS,
    EventName.TASK_FAILED: TaskState.FAILED,
    EventName.TASK_SKIPPED: TaskState.SKIPPED,
    EventName.TASK_UP_FOR_RETRY: TaskState.UP_FOR_RETRY,
}


def read(value: bytes | None, now: datetime) -> Envelope:
    """Read one message.

    Args:
        value: The message's value.
        now: The operator's clock.

    Raises:
        Unreadable: It is in neither format.
    """
    try:
        message = json.loads(value or b"")
    except (ValueError, RecursionError) as error:
        raise Unreadable("not_json", f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise Unreadable("unknown_format", f"a JSON {type(message).__name__}, not an object")
    try:
        if "mljob_version" in message and message.get("event") == CANCELLATION_EVENT:
            return _cancellation(RunCancellation.model_validate(message), now)
        if "mljob_version" in message:
            return _ours(TaskEvent.model_validate(message), now)
        if "schema_version" in message:
            return _official(OfficialEvent.model_validate(message), now)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # The field's name and no more: below it are names that the message brings along, and somebody reads this who may not read the topic.
        field = str(first["loc"][0])
        raise Unreadable("invalid", f"{field}: {first['msg']}") from None
    raise Unreadable("unknown_format", "has neither mljob_version nor schema_version")


def _ours(event: TaskEvent, now: datetime) -> Envelope:
    at = _aware(event.timestamp)
    failure = None
    if event.error is not None:
        failure = Failure(event.try_number, at, event.error.message, event.error.type)
    # A report has no end; its timestamp must not outrank the running event's for anything but the report.
    reporting = event.event is EventName.TASK_PROGRESS
    fact = TaskFact(
        task_id=_id(event.task_id),
        map_index=event.map_index,
        try_number=event.try_number,
        state=_OURS[event.event],
        source=StatusSource.KAFKA,
        at=at,
        seen=now,
        max_tries=event.max_tries,
        start=event.start_date,
        end=None if reporting else event.end_date,
        progress=Report(event.try_number, at, progress=event.progress) if event.progress is not None else None,
        metrics=Report(event.try_number, at, metrics=event.metrics) if event.metrics else None,
        failure=failure,
    )
    return Envelope(event.dag_id, event.run_id, fact, event.source)


def _cancellation(event: RunCancellation, now: datetime) -> Envelope:
    """The end of the run, where the cancellation DAG has brought it about. Of a run that had ended before, it does not say when: no fact."""
    at = _aware(event.timestamp)
    state = _ENDS.get(event.state or "") if event.outcome is CancellationOutcome.CANCELLED else None
    fact = RunFact(state, StatusSource.KAFKA, at, now) if state is not None else None
    return Envelope(event.dag_id, event.run_id, fact, event.source)


def _official(event: OfficialEvent, now: datetime) -> Envelope:
    at = _aware(event.timestamp)
    fact: TaskFact | RunFact | None = None
    if run := _OFFICIAL_RUN.get(event.event):
        fact = RunFact(run, StatusSource.KAFKA, at, now)
    elif (task := _OFFICIAL_TASK.get(event.event)) and event.task_id and event.try_number is not None:
        failed = task is TaskState.FAILED
        failure = Failure(event.try_number, at, event.error) if failed and event.error else None
        fact = TaskFact(
            task_id=_id(event.task_id),
            map_index=-1 if event.map_index is None else event.map_index,
            try_number=event.try_number,
            state=task,
            source=StatusSource.KAFKA,
            at=at,
            seen=now,
            certain=not failed,
            failure=failure,
        )
    return Envelope(event.dag_id, event.run_id, fact, event.source)


def _id(text: str) -> str:
    """A task's id, which goes into the status: what can't be one there is nobody's task."""
    if len(text) > MAX_ID or whole(text) != text:
        raise Unreadable("invalid", f"task_id: not an id of at most {MAX_ID} characters")
    return text


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise Unreadable("invalid", "timestamp: no time zone")
    return at
