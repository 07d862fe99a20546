"""The event envelope: what ``mljob_airflow`` puts on the Kafka topic.

One JSON object a message, keyed ``<dag_id>/<run_id>`` so that the events of one run stay in order in one partition. The
Kafka headers carry the CloudEvents 1.0 attributes in binary mode (``ce_specversion``, ``ce_id``, ``ce_source``,
``ce_type``, ``ce_time``, ``ce_subject``, ``content-type``), as the CloudEvents Kafka protocol binding names them.

Two kinds of message: what a task instance did (:class:`TaskEvent`), and what the cancellation DAG did to a run
(:class:`RunCancellation`); ``event`` tells them apart.

The other format on the same topic is Airflow's own (``kafka_event_producer`` of apache-airflow-providers-apache-kafka);
it has ``schema_version`` where ours has ``mljob_version``, and that is how a reader tells them apart.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .airflow_id import MAX_ID_LENGTH, AirflowId

CE_TYPE_PREFIX = "dev.mljob."
"""The CloudEvents ``type`` is this prefix and the event's name: ``dev.mljob.task_instance.success``."""


MAX_MESSAGE_BYTES = 1024 * 1024
"""Of a message's value. A larger one is not looked into; our own take a few KiB."""
MAX_METRICS = 20
"""Metrics in an event."""
MAX_METRIC_NAME_LENGTH = 63
MAX_INT = 2147483647
"""Of a number, as Airflow's database has them."""

RunId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
"""A dag run's id: which characters it may have is a setting of Airflow."""
Source = Annotated[str, Field(max_length=253)]
"""Which Airflow sent an event, in its own words."""
Whole = Annotated[int, Field(strict=True, ge=0, le=MAX_INT)]
"""A whole number, and neither true nor 1.0."""
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number that JSON has."""
MetricName = Annotated[str, Field(min_length=1, max_length=MAX_METRIC_NAME_LENGTH)]


def _encodable(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_encodable)]
"""Words for people. Halves of surrogate pairs, which Python puts for bytes that it can't decode, are replaced: UTF-8 can't say them."""


def _few(value: object) -> object:
    if isinstance(value, dict) and len(value) > MAX_METRICS:
        raise ValueError(f"{len(value)} metrics, and at most {MAX_METRICS} are allowed")
    return value


class EventName(StrEnum):
    """What happened to a task instance: the state that it entered, or ``progress`` for a report from inside it."""

    TASK_RUNNING = "task_instance.running"
    TASK_SUCCESS = "task_instance.success"
    TASK_FAILED = "task_instance.failed"
    TASK_SKIPPED = "task_instance.skipped"
    TASK_UP_FOR_RETRY = "task_instance.up_for_retry"
    TASK_PROGRESS = "task_instance.progress"
    """A report from inside a running task; carries ``progress`` or ``metrics`` or both."""


class _Model(BaseModel):
    # A newer producer may say more than this reader knows: unknown fields are dropped, not refused.
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class MLJobRef(_Model):
    """The MLJob that an event belongs to, read from the dag run id."""

    namespace: str
    name: str


class TaskError(_Model):
    """Why a task failed, cut to a size that a status can hold."""

    type: Text
    """The exception's class name, for example ``ValueError``."""
    message: Text
    """The exception's text, cut to 1,000 characters."""


class TaskEvent(_Model):
    """Something a task instance did, or reported of itself."""

    mljob_version: Literal[1] = 1
    """The envelope's version. A reader refuses what it does not know."""
    event: EventName
    timestamp: datetime
    """When it happened, on the producer's clock, with a time zone."""
    source: Source = "airflow"
    """Which Airflow sent it: ``[mljob] source``."""
    dag_id: AirflowId
    run_id: RunId
    task_id: AirflowId
    map_index: Annotated[int, Field(strict=True, ge=-1, le=MAX_INT)] = -1
    """-1 for a task that is not mapped."""
    try_number: Whole
    """1 for the first try."""
    max_tries: Annotated[int, Field(strict=True, ge=-1, le=MAX_INT)] | None = None
    """Airflow's ``max_tries``: how many retries the task has, so a task with 2 retries says 2 and may have tries 1 to 3."""
    state: str | None = None
    """Airflow's word for the state entered: running, success, failed, up_for_retry, skipped."""
    operator: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    """Seconds."""
    log_url: str | None = None
    hostname: str | None = None
    error: TaskError | None = None
    progress: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    """Share of the task's work that is done, 0 to 1."""
    metrics: Annotated[dict[MetricName, Finite], BeforeValidator(_few)] | None = None
    """Numbers worth showing: epoch, loss, rows written. At most 20 names of at most 63 characters."""
    mljob: MLJobRef | None = None
    """Absent where the run was not started by the operator."""


class CancellationMode(StrEnum):
    """What cancelling a run does with its teardown tasks."""

    GRACEFUL = "graceful"
    """They get their chance to run, for a while."""
    IMMEDIATE = "immediate"
    """They are failed like all others."""


class CancellationOutcome(StrEnum):
    """What cancelling a run came to."""

    CANCELLED = "cancelled"
    """It was in progress, and is over."""
    ALREADY_OVER = "already_over"
    """It had ended before."""
    NOT_FOUND = "not_found"
    """There is no such run."""
    NOT_OVER = "not_over"
    """It is still in progress, or that is not known: ``errors`` say why. The cancellation DAG tries again, a few times."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of the run goes on."""
        return self is not CancellationOutcome.NOT_OVER


CANCELLATION_EVENT: Final = "dag_run.cancellation"
"""The event's name of a :class:`RunCancellation`."""


class RunCancellation(_Model):
    """What the cancellation DAG did to one run: one message for each of its targets, and for each of its tries."""

    mljob_version: Literal[1] = 1
    """The envelope's version. A reader refuses what it does not know."""
    event: Literal["dag_run.cancellation"] = CANCELLATION_EVENT
    timestamp: datetime
    """When it was done, on the producer's clock, with a time zone."""
    source: Source = "airflow"
    """Which Airflow sent it: ``[mljob] source``."""
    dag_id: AirflowId
    run_id: RunId
    """The run that was to be cancelled."""
    outcome: CancellationOutcome
    state: str | None = None
    """The run's state as Airflow last said it: success, failed, running, queued; absent when there is no such run, or Airflow did not answer."""
    mode: CancellationMode
    reason: str
    """Why it was cancelled, in the words of who asked for it; cut to 1,000 characters."""
    failed_task_instances: Annotated[int, Field(ge=0)] = 0
    """Task instances that were set failed; others may have ended with the run."""
    rounds: Annotated[int, Field(ge=0)] = 0
    """How often the unfinished task instances were listed, and failed."""
    errors: tuple[str, ...] = ()
    """What Airflow refused, or what kept the run from being over: at most 20 texts of at most 500 characters."""
    duration: Annotated[float, Field(ge=0)]
    """Seconds that it took, the wait for teardown tasks and for the run's end included."""
    cancelled_by: str
    """The run id of the cancellation DAG's run."""
    try_number: Annotated[int, Field(ge=1)] = 1
    """Of the cancellation DAG's task: 2 where the first try left a run that was not over."""
    mljob: MLJobRef | None = None
    """The MLJob that the cancelled run belongs to; absent where it was not started by the operator, and for a run of a backfill."""
