"""The events that the Airflow provider (``mljob_airflow``) sends to the Kafka topic of events.

The value of a message is one JSON object. The key of a message is ``<dag_id>/<run_id>``, so that
the events of one run are in one partition, in order. The Kafka headers are the CloudEvents 1.0
attributes in binary mode, with the names of the CloudEvents Kafka protocol binding:
``ce_specversion``, ``ce_id``, ``ce_source``, ``ce_type``, ``ce_time``, ``ce_subject`` and
``content-type``.

The field ``event`` distinguishes two kinds of messages. A :class:`TaskEvent` describes a task
instance. A :class:`RunCancellation` describes what the cancellation DAG, which ends runs of other
DAGs, did to a run.

The topic may also have events of Airflow's own ``kafka_event_producer``
(apache-airflow-providers-apache-kafka). A reader distinguishes the formats by the version field.
The messages of this module have ``mljob_version``, and the events of ``kafka_event_producer`` have
``schema_version``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from .airflow_id import MAX_ID_LENGTH, AirflowId
from .message import Message

CE_TYPE_PREFIX = "dev.mljob."
"""The prefix of the CloudEvents ``type``. The event's name follows, as in
``dev.mljob.task_instance.success``.
"""

MAX_MESSAGE_BYTES = 1024 * 1024
"""The maximum number of bytes of a message's value that the operator parses. The provider's
messages have a few KiB.
"""
MAX_METRICS = 20
"""The largest number of metrics in an event."""
MAX_METRIC_NAME_LENGTH = 63
"""The longest name of a metric, in characters."""
MAX_INT = 2147483647
"""The largest integer of Airflow's database columns."""

RunId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
"""The id of a dag run. Airflow's setting ``[scheduler] allowed_run_id_pattern`` determines which
characters the id may have.
"""
Source = Annotated[str, Field(max_length=253)]
"""The name of the Airflow that sent an event, from Airflow's configuration."""
Whole = Annotated[int, Field(strict=True, ge=0, le=MAX_INT)]
"""An integer from 0 to ``MAX_INT``. The values true and 1.0 are refused."""
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number that JSON can represent: no NaN and no infinity."""
MetricName = Annotated[str, Field(min_length=1, max_length=MAX_METRIC_NAME_LENGTH)]
"""The name of a metric, such as ``loss``: 1 to 63 characters."""


def _replace_surrogates(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_replace_surrogates)]
"""A text for people. Lone surrogates, which Python uses for bytes that it can't decode, become
question marks, because UTF-8 can't encode surrogates.
"""


def _limit_metrics(value: object) -> object:
    if isinstance(value, dict) and len(value) > MAX_METRICS:
        raise ValueError(f"has {len(value)} metrics; at most {MAX_METRICS} are allowed")
    return value


class EventName(StrEnum):
    """The name of an event about a task instance. The name ends in the state that the task instance
    entered, or in ``progress`` for a report of the running task.
    """

    TASK_RUNNING = "task_instance.running"
    TASK_SUCCESS = "task_instance.success"
    TASK_FAILED = "task_instance.failed"
    TASK_SKIPPED = "task_instance.skipped"
    TASK_UP_FOR_RETRY = "task_instance.up_for_retry"
    TASK_PROGRESS = "task_instance.progress"
    """A report of a running task. The event has ``progress``, ``metrics`` or both."""


class MLJobRef(Message):
    """The MLJob of a run. The Airflow provider reads the MLJob's namespace and name from the run's
    id, or from the conf of a run that belongs to a backfill.
    """

    namespace: str
    """The namespace of the MLJob."""
    name: str
    """The name of the MLJob."""


class TaskError(Message):
    """The error with which a try of a task failed."""

    type: Text
    """The class of the exception, for example ``ValueError``."""
    message: Text
    """The text of the exception, cut to 1,000 characters."""


class TaskEvent(Message):
    """A change of a task instance's state, or a report of a running task."""

    mljob_version: Literal[1] = 1
    """The version of the format. A reader refuses versions that it does not know."""
    event: EventName
    """What happened to the task instance."""
    timestamp: datetime
    """When the event happened, by the producer's clock, with a time zone."""
    source: Source = "airflow"
    """The Airflow that sent the event, from its configuration ``[mljob] source``."""
    dag_id: AirflowId
    """The DAG of the task instance."""
    run_id: RunId
    """The dag run of the task instance."""
    task_id: AirflowId
    """The task of the task instance."""
    map_index: Annotated[int, Field(strict=True, ge=-1, le=MAX_INT)] = -1
    """The index of an instance of a mapped task, from 0. The value is -1 for a task that is not
    mapped.
    """
    try_number: Whole
    """The number of the try, from 1."""
    max_tries: Annotated[int, Field(strict=True, ge=-1, le=MAX_INT)] | None = None
    """How many retries the task has (Airflow's ``max_tries``). A task with 2 retries may have tries
    1 to 3."""
    state: str | None = None
    """Airflow's name of the state that the task instance entered: running, success, failed,
    up_for_retry or skipped."""
    operator: str | None = None
    """The class of the task's operator."""
    start_date: datetime | None = None
    """When the try started."""
    end_date: datetime | None = None
    """When the try ended."""
    duration: float | None = None
    """How long the try took, in seconds."""
    log_url: str | None = None
    """The page of the task instance's log in Airflow."""
    hostname: str | None = None
    """The host of the worker."""
    error: TaskError | None = None
    """Why the try failed."""
    progress: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    """The share of the task's work that is done, from 0 to 1."""
    metrics: Annotated[dict[MetricName, Finite], BeforeValidator(_limit_metrics)] | None = None
    """Numbers to show, such as epoch, loss or rows: at most 20, with names of at most 63
    characters."""
    mljob: MLJobRef | None = None
    """The MLJob of the run. Absent if the operator did not start the run."""


class CancellationMode(StrEnum):
    """Whether the cancellation DAG lets the teardown tasks of a run finish."""

    GRACEFUL = "graceful"
    """Teardown tasks may run for a limited time."""
    IMMEDIATE = "immediate"
    """Teardown tasks are set to failed like all other tasks."""


class CancellationOutcome(StrEnum):
    """What the cancellation DAG, which ends runs of other DAGs, has achieved for a run."""

    CANCELLED = "cancelled"
    """The run was in progress and has ended."""
    ALREADY_OVER = "already_over"
    """The run had ended before the cancellation."""
    NOT_FOUND = "not_found"
    """Airflow has no such run."""
    NOT_OVER = "not_over"
    """The run is still in progress, or its state is unknown. ``errors`` contains the reasons. The
    task of the cancellation DAG is retried a few times.
    """

    @property
    def is_over(self) -> bool:
        """Whether the run is no longer in progress: the run has ended, or Airflow does not have it.
        False if the state of the run is unknown.
        """
        return self is not CancellationOutcome.NOT_OVER


CANCELLATION_EVENT: Final = "dag_run.cancellation"
"""The value of ``event`` in a :class:`RunCancellation`."""


class RunCancellation(Message):
    """What the cancellation DAG did to one run of another DAG. The task of the cancellation DAG
    sends one such message for each run that it was asked to end. A retry of the task sends the
    messages for all these runs again.
    """

    mljob_version: Literal[1] = 1
    """The version of the format. A reader refuses versions that it does not know."""
    event: Literal["dag_run.cancellation"] = CANCELLATION_EVENT
    """The kind of the message."""
    timestamp: datetime
    """When the try ended, by the producer's clock, with a time zone."""
    source: Source = "airflow"
    """The Airflow that sent the event, from its configuration ``[mljob] source``."""
    dag_id: AirflowId
    """The DAG of the run to cancel."""
    run_id: RunId
    """The run to cancel."""
    outcome: CancellationOutcome
    """The result of the cancellation."""
    state: str | None = None
    """Airflow's last known state of the run: queued, running, success or failed. Absent if there is
    no such run or Airflow did not answer."""
    mode: CancellationMode
    """How teardown tasks were treated."""
    reason: str
    """Why the run was cancelled, as the request says, cut to 1,000 characters."""
    failed_task_instances: Annotated[int, Field(ge=0)] = 0
    """How many task instances the cancellation DAG set to failed. Other task instances may have
    ended together with the run.
    """
    rounds: Annotated[int, Field(ge=0)] = 0
    """How many times the cancellation DAG listed the unfinished task instances and set them to
    failed.
    """
    errors: tuple[str, ...] = ()
    """The requests that Airflow refused, and the reasons why the run has not ended: at most 20
    texts of at most 500 characters."""
    duration: Annotated[float, Field(ge=0)]
    """How long the cancellation took, in seconds, including the wait for teardown tasks and for the
    end of the run."""
    cancelled_by: str
    """The id of the cancellation DAG's run."""
    try_number: Annotated[int, Field(ge=1)] = 1
    """The number of the try of the cancellation DAG's task. A second try follows if the first try
    ended before the cancelled run had ended.
    """
    mljob: MLJobRef | None = None
    """The MLJob of the cancelled run. For a run of a backfill, the MLJob in the run's conf. Absent if
    the operator did not start the run."""
