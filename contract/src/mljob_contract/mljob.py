"""The MLJob resource, ``mljob.dev/v1alpha1``: the models here are the source of the CRD (``make generate``).

A field's docstring is what ``kubectl explain`` shows; its bounds are what the apiserver enforces. Everything in the spec
works: a field that does not is not here.

Sources: Kubernetes API conventions (spec, status, conditions), batch/v1 Job for names and meanings that Jobs already have,
kstatus (sigs.k8s.io/cli-utils) for the conditions Reconciling and Stalled.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "mljob.dev"
VERSION = "v1alpha1"
KIND = "MLJob"
PLURAL = "mljobs"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/cancellation"
"""On an MLJob as long as the operator owes it something: a run to cancel, a last look at its tasks."""

MAX_TASKS = 100
"""Entries in ``status.tasks``."""
MAX_ERROR_LENGTH = 400
"""Characters of an error's text in the status."""


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )


class JobType(StrEnum):
    """What kind of ML work the job does; for people and dashboards, it changes no behaviour."""

    TRAINING = "Training"
    DATASET_GENERATION = "DatasetGeneration"
    ENRICHMENT = "Enrichment"
    PREDICTION = "Prediction"
    CUSTOM = "Custom"


class DeletionPolicy(StrEnum):
    """What happens to a run in progress when its MLJob is deleted."""

    CANCEL = "Cancel"
    RETAIN = "Retain"


class CancellationStrategy(StrEnum):
    """Who sets the run's tasks failed."""

    DAG = "Dag"
    API = "Api"


class Phase(StrEnum):
    """Where the MLJob is in its life; one word for people, conditions are for programs."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    CANCELLING = "Cancelling"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class StatusSource(StrEnum):
    """Where the newest fact in the status came from."""

    KAFKA = "Kafka"
    REST = "REST"


class Cancellation(_Model):
    """How a run in progress is cancelled."""

    strategy: CancellationStrategy = CancellationStrategy.DAG
    """Dag: trigger the cancellation DAG, and let the operator do the same through Airflow's REST API where that DAG is
    missing, paused or without a free slot. Api: REST at once."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """How long deletion waits for an Airflow that can't be reached, in seconds from the deletion. After that the MLJob goes,
    and a Warning event names the run that may still be active."""


class MLJobSpec(_Model):
    """What to run."""

    dag_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=250,
            pattern=r"^[A-Za-z0-9_.\-]+$",
        ),
    ]
    """The DAG to run, by its id in Airflow; usually one with schedule=None. It may appear in Airflow after the MLJob does."""
    type: JobType = JobType.CUSTOM
    """What kind of ML work this is: Training, DatasetGeneration, Enrichment, Prediction or Custom. It is shown and can be
    filtered on; it does not change what is run."""
    conf: dict[str, Any] = Field(default_factory=dict)
    """The dag run's conf: any JSON object. Airflow validates it against the DAG's params."""
    deletion_policy: DeletionPolicy = DeletionPolicy.CANCEL
    """What deleting the MLJob does to a run in progress. Cancel: the run is cancelled, and deletion completes when Airflow
    says that it is over. Retain: the run goes on without its MLJob."""
    cancellation: Cancellation = Field(default_factory=Cancellation)
    """How a run in progress is cancelled."""


class TaskCounts(_Model):
    """Task instances by Airflow's state; mapped ones count each. Always exact, also where ``tasks`` is cut."""

    total: Annotated[int, Field(ge=0)] = 0
    """All task instances of the run, as far as they are known: a mapped task counts once until it is expanded."""
    success: int = 0
    """Ended well."""
    failed: int = 0
    """Failed, and will not be retried."""
    skipped: int = 0
    """Left out: by themselves, by a branch, or with what is upstream of them."""
    upstream_failed: int = 0
    """Never ran, because a task upstream of them failed."""
    removed: int = 0
    """Not in the DAG any more since the run began."""
    running: int = 0
    """A worker is at them."""
    deferred: int = 0
    """Wait for a trigger, without a worker."""
    awaiting_input: int = 0
    """Wait for a person's answer, without a worker."""
    up_for_retry: int = 0
    """Failed, and wait for their next try."""
    up_for_reschedule: int = 0
    """Sensors that wait for their next look, without a worker."""
    restarting: int = 0
    """Cleared while they ran: about to be run again."""
    queued: int = 0
    """Wait for a worker."""
    scheduled: int = 0
    """May run; wait for a slot."""
    none: int = 0
    """Not scheduled yet: waiting for upstream tasks."""


class TaskErrorStatus(_Model):
    """Why a task failed."""

    type: str | None = None
    """The exception's class, for example ValueError; absent where Airflow doesn't say."""
    message: str
    """The exception's text, cut to 400 characters; the whole of it is in the task's log."""


class MappedTasks(_Model):
    """A mapped task's instances, together."""

    total: int
    """How many instances there are."""
    states: dict[str, int] = Field(default_factory=dict)
    """How many of them are in each state, by Airflow's word; none: not scheduled yet."""
    failed_indexes: list[int] | None = None
    """Map indexes of failed instances, the first 20."""


class TaskStatus(_Model):
    """One task of the run. A mapped task has one entry for all its instances."""

    task_id: str
    """The task's id in its DAG, with those of its task groups before it."""
    state: str
    """Airflow's word: success, running, failed, up_for_retry, upstream_failed, ...; none before it is scheduled. Of a mapped task,
    the state that says most: failed before running before waiting before success."""
    try_number: int = 0
    """1 for the first try, 0 before it; of a mapped task, the highest."""
    start_time: datetime | None = None
    """When this try began; of a mapped task, when the first instance did."""
    end_time: datetime | None = None
    """When it ended; of a mapped task, when the last instance did."""
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    """Percent done, as the task itself last reported."""
    metrics: dict[str, float] | None = None
    """Numbers that the task last reported: epoch, loss, rows written."""
    error: TaskErrorStatus | None = None
    log_url: str | None = None
    """The task's page in Airflow, with its log."""
    mapped: MappedTasks | None = None
    """Present for a mapped task."""


class ConditionStatus(StrEnum):
    """A condition holds, doesn't, or can't be known."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(_Model):
    """One aspect of the MLJob's state, as in metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """Complete and Failed mean what they mean for a Job; Reconciling and Stalled are kstatus's."""
    status: ConditionStatus
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """One CamelCase word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """One sentence for people."""
    last_transition_time: datetime
    """When the condition's status last changed."""
    observed_generation: int | None = None
    """The generation of the spec that the condition speaks of."""


class MLJobStatus(_Model):
    """What became of it. Written by the operator alone."""

    observed_generation: int | None = None
    """The generation of the spec that was last acted on."""
    phase: Phase | None = None
    """Pending, Queued, Running, Cancelling, Succeeded, Failed or Cancelled."""
    reason: str | None = None
    """Why it is in this phase, in one CamelCase word."""
    message: str | None = None
    """Why it is in this phase, and what to do about it, in a sentence."""
    dag_id: str | None = None
    """The DAG that the run belongs to: what spec.dagId said when the run was submitted."""
    dag_run_id: str | None = None
    """The id of the dag run in Airflow."""
    dag_run_url: str | None = None
    """The run's page in Airflow."""
    dag_run_state: str | None = None
    """Airflow's own word for the run: queued, running, success or failed."""
    attempts: int | None = None
    """How many runs were submitted."""
    submit_time: datetime | None = None
    """When Airflow accepted the run."""
    start_time: datetime | None = None
    """When Airflow started the run."""
    completion_time: datetime | None = None
    """When the run ended, in whichever way."""
    progress: str | None = None
    """Finished task instances of all: 3/5."""
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """Finished share of all task instances, running ones counted by the progress that they report."""
    current_task: str | None = None
    """The task that runs, or the one that started last where several do."""
    task_counts: TaskCounts | None = None
    """Task instances by state."""
    tasks: list[TaskStatus] | None = None
    """The run's tasks: at most 100, failed ones first to be kept, then unfinished, then latest."""
    tasks_omitted: int | None = None
    """How many entries ``tasks`` lacks to stay within bounds; taskCounts has them all."""
    outputs: dict[str, Any] | None = None
    """What the run's tasks published as outputs (``mljob_airflow.publish_outputs``), at most 16 KiB."""
    last_event_time: datetime | None = None
    """When the newest fact in this status came about."""
    status_source: StatusSource | None = None
    """Kafka: pushed by an event. REST: read from Airflow's API."""
    conditions: list[Condition] | None = None
    """Complete, Failed; Reconciling, Stalled."""
