"""The MLJob resource, ``mljob.dev/v1alpha1``. ``make generate`` writes the CRD from these models.

``kubectl explain`` shows a field's docstring, and the API server enforces its bounds. A docstring
says what the field is, its unit, its default, its bounds and what follows from it. The operator
acts on every field of the spec.

Sources: the Kubernetes API conventions for spec, status and conditions; batch/v1 Job for the fields
and conditions that a Job has too; kstatus (sigs.k8s.io/cli-utils) for the conditions Reconciling
and Stalled.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from mljob_contract.airflow_id import AirflowId
from mljob_contract.job_type import JobType
from mljob_contract.times import Time

GROUP = "mljob.dev"
VERSION = "v1alpha1"
KIND = "MLJob"
PLURAL = "mljobs"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/cancellation"
"""The operator's finalizer on an MLJob. The operator removes it when no run is left to cancel, and
the tasks and outputs of the ended run are in the status."""

UNOBSERVED = {"observedGeneration": -1}
"""The status that the API server gives a new MLJob until an operator writes one. Without a status,
kstatus and the tools that use kstatus, such as Flux, report a new object as finished. Flux's own
resources have the same default."""

MAX_CONF_LEVELS = 32
"""The largest nesting depth of a conf, in levels of objects and lists."""
MAX_CONF_BYTES = 256 * 1024
"""The largest size of a conf as compact JSON, in bytes."""
MAX_TASKS = 100
"""The largest number of entries in ``status.tasks``."""
MAX_ERROR_LENGTH = 400
"""The longest text of a task's error in the status, in characters."""
MAX_HISTORY = 10
"""The largest number of entries in ``status.history``."""
MAX_FAILED_RUNS = 20
"""The largest number of entries in ``status.backfill.failedRuns``."""


class ResourceModel(BaseModel):
    """A part of a resource. Its fields are camelCase in YAML. Unknown fields are ignored: another
    version of the CRD may have stored them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )


class DeletionPolicy(StrEnum):
    """What deleting an MLJob does to its run in progress."""

    CANCEL = "Cancel"
    RETAIN = "Retain"


class CancellationStrategy(StrEnum):
    """How the operator ends a run: through the cancellation DAG, or through Airflow's REST API."""

    DAG = "Dag"
    API = "Api"


class ChildRuns(StrEnum):
    """What the operator does with the runs that a cancelled run has started."""

    LEAVE = "Leave"
    CANCEL = "Cancel"


class RunPolicy(StrEnum):
    """What a change of the spec does after the run was submitted."""

    ONCE = "Once"
    ON_CHANGE = "OnChange"
    ONCE_PER_SPEC = "OncePerSpec"


class RetryStrategy(StrEnum):
    """Which tasks a retry runs."""

    CLEAR_FAILED = "ClearFailed"
    NEW_RUN = "NewRun"


class ReprocessBehavior(StrEnum):
    """What a backfill does with runs of its range that exist already."""

    NONE = "None"
    FAILED = "Failed"
    COMPLETED = "Completed"


class Phase(StrEnum):
    """The state of an MLJob in one word, for people. Programs read the conditions."""

    PENDING = "Pending"
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    RUNNING = "Running"
    CANCELLING = "Cancelling"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class StatusSource(StrEnum):
    """Where the newest information in the status came from."""

    KAFKA = "Kafka"
    REST = "REST"


class Cancellation(ResourceModel):
    """How a run in progress is cancelled."""

    strategy: CancellationStrategy = CancellationStrategy.DAG
    """How the operator ends the run. Dag, the default: trigger the cancellation DAG mljob_cancel,
    whose log in Airflow shows each step and which gives teardown tasks 30 seconds. Where that DAG
    is missing, paused or does not start in time, the operator uses the REST API. Api: fail the
    tasks through Airflow's REST API at once, without time for teardown tasks. A backfill is always
    cancelled through the REST API."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """How long a deletion waits for the run to end, in seconds since the deletion. Default: 300.
    Range: 1 to 86400. After that the operator sets the run failed through REST once and removes the
    MLJob, even if Airflow does not answer. If the run may still be active then, the Warning Event
    CancellationAbandoned names the run. This matters only while Airflow is unreachable: otherwise
    cancelling takes seconds."""
    children: ChildRuns = ChildRuns.LEAVE
    """What the operator does with runs that tasks of the cancelled run have started with
    TriggerDagRunOperator. Leave, the default: they continue, as in Airflow, and the Event
    ChildrenLeft names them. Cancel: the operator cancels them and their own children, at most 50,
    if an access rule lets the MLJob's namespace run their DAGs and they belong to no other MLJob.
    The Event ChildrenCancelled names the cancelled runs, ChildrenLeft the runs that continue."""


MAX_COUNT = 2147483647
"""The largest integer of Airflow's database columns and of Go's int32."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""A count, from 0."""
Number = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""A position in a sequence, from 1."""
Reason = Annotated[str, Field(min_length=1, max_length=1024)]
"""A reason in one CamelCase word, of at most 1024 characters as in metav1.Condition."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$")]
"""The name of a Kubernetes object: a DNS subdomain (RFC 1123)."""


class Reference(ResourceModel):
    """A ConfigMap or Secret in the MLJob's namespace."""

    name: ObjectName
    """The name of the object, in the MLJob's namespace."""
    optional: bool = False
    """Whether the run is submitted without the object if it does not exist. Default: false, which
    means that the MLJob waits for the object, with reason ReferenceMissing."""


class AirflowReference(ResourceModel):
    """An AirflowInstance."""

    name: ObjectName
    """The name of the AirflowInstance."""


class ConfSource(ResourceModel):
    """A ConfigMap or a Secret whose keys become keys of the conf. Each value is a string. A key
    that ends in .json is different: its value must be a JSON object, and the fields of that object
    become keys of the conf.
    """

    config_map_ref: Reference | None = None
    """The ConfigMap to read. Set either this or secretRef."""
    secret_ref: Reference | None = None
    """The Secret to read. Set either this or configMapRef. The operator sends the values to Airflow
    and redacts them in the status, Events and its log, also where a task's error or output quotes
    them. Airflow stores the conf of a run, and everyone who can read the run can read the conf:
    prefer an Airflow Connection for credentials. The chart grants the operator access to Secrets
    only with confFrom.secrets=true."""

    @model_validator(mode="after")
    def _require_exactly_one_source(self) -> Self:
        if (self.config_map_ref is None) == (self.secret_ref is None):
            raise ValueError("set exactly one of configMapRef and secretRef")
        return self


class OutputSource(ResourceModel):
    """An XCom that becomes an entry of status.outputs."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The name of the entry in status.outputs. It replaces an output of the same name that a task
    has published."""
    task_id: AirflowId
    """The id of the task that pushes the XCom. For a task in a task group, the ids of the groups
    come first: group.task. For a mapped task, the entry is the list of the values of its instances,
    by map index, at most 100."""
    key: Annotated[str, Field(min_length=1, max_length=512)] = "return_value"
    """The key of the XCom. Default: return_value, which is what the task returns."""


class BackfillSpec(ResourceModel):
    """The dates of a DAG's schedule to run."""

    from_: Annotated[Time, Field(alias="from")]
    """The first logical date of the range, as an RFC 3339 date-time such as 2026-01-01T00:00:00Z.
    It must not be after to."""
    to: Time
    """The last logical date of the range, inclusive, as an RFC 3339 date-time such as
    2026-01-31T00:00:00Z. Dates in the future are not run. If the whole range is in the future, the
    MLJob is Stalled with reason ValidationFailed."""
    reprocess_behavior: ReprocessBehavior = ReprocessBehavior.NONE
    """What to do with runs of the range that exist already. None, the default: leave them;
    status.backfill.runs.notCreated counts them. Failed: run the failed ones again. Completed: run
    all ended ones again. A run in progress is always left alone."""
    max_active_runs: Annotated[int, Field(ge=1, le=10000)] = 10
    """How many runs of the backfill may be active at a time. Default: 10. Range: 1 to 10000.
    Airflow does not count these runs against the DAG's own max_active_runs."""
    run_backwards: bool = False
    """Whether the latest date runs first. Default: false. Airflow refuses true for a DAG whose
    tasks depend on past runs."""


class MLJobSpec(ResourceModel):
    """What to run, and how to retry, cancel and clean up."""

    dag_id: AirflowId
    """The id of the Airflow DAG to run, such as train_model. Usually this is a DAG with
    schedule=None. If Airflow does not know the DAG yet, the MLJob waits with reason DagNotFound."""
    type: JobType = JobType.CUSTOM
    """The kind of ML work: Training, DatasetGeneration, Enrichment, Prediction, Inference, Custom
    or Backfill. Default: Custom. Use it to filter: kubectl get mljobs --field-selector
    spec.type=Training. Only Backfill changes what runs: it runs the DAG for each date of
    spec.backfill. An existing MLJob can't change to or from Backfill."""
    backfill: BackfillSpec | None = None
    """The dates to run. Required with type Backfill, and not allowed with other types. The DAG
    needs a schedule."""
    conf: dict[str, Any] = Field(default_factory=dict)
    """The conf of the dag run: any JSON object, such as {"epochs": 20}. Together with the keys from
    confFrom it has at most 32 levels and 256 KiB. The operator checks it against the params of the
    DAG before it submits the run. If the conf does not fit, the MLJob is Stalled with reason
    ValidationFailed, and the message names the param. Everyone who can read the MLJob can read the
    conf: take secret values from a Secret with confFrom."""
    conf_from: Annotated[list[ConfSource], Field(max_length=16)] = Field(default_factory=list)
    """ConfigMaps and Secrets of the MLJob's namespace that provide keys of the conf, at most 16.
    Later entries override earlier ones, and spec.conf overrides all of them. The operator reads the
    ConfigMaps and Secrets when it submits a run. A later change of a ConfigMap or Secret neither
    affects that run nor starts another run."""
    logical_date: Time | None = None
    """The logical date of the run, as an RFC 3339 date-time such as 2026-01-01T00:00:00Z. Default:
    no logical date, so that templates that need a date, such as {{ ds }}, fail. Airflow allows one
    run of a DAG per logical date: if another run has this date, the MLJob waits with reason
    LogicalDateTaken. For the same reason retryStrategy must be ClearFailed, the default."""
    airflow_ref: AirflowReference | None = None
    """The AirflowInstance to run in. Default: the default AirflowInstance, or if there is none, the
    Airflow of the operator's settings. status.airflowInstance records the choice, and the run stays
    there if the default changes later."""
    run_policy: RunPolicy = RunPolicy.ONCE
    """What happens if dagId, conf, confFrom, airflowRef, backfill or logicalDate changes after the
    run was submitted. Once, the default: the change is refused, and the condition SpecApplied is
    False. OnChange: the run in progress is cancelled, and a new run starts. OncePerSpec: like
    OnChange, and an MLJob that was deleted and created again with the same namespace, name and spec
    takes over its existing run instead of running again. Use OncePerSpec with GitOps tools."""
    suspend: bool = False
    """Whether the MLJob is suspended, as in a batch/v1 Job. Default: false. true: the run in
    progress is cancelled, and no run starts. Back to false: a new attempt starts with a new run. A
    backfill is paused instead: its runs in progress end, no other run starts, and false continues
    the backfill."""
    cancel: bool = False
    """Whether the MLJob is cancelled. Default: false. true: the run is cancelled, and the MLJob
    stays as a record in phase Cancelled. The value true is final and can't be set back to false. To
    stop now and run again later, use suspend."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """How many seconds the MLJob may be active, over all attempts, counted from status.activeSince.
    Default: no limit. After that the run is cancelled, and the MLJob is Failed with reason
    DeadlineExceeded, whatever backoffLimit says."""
    pre_running_deadline_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """How many seconds an attempt may wait for its first task to start, for example because the DAG
    is missing or paused, a pool is full or Airflow is down. Default: no limit. It must not exceed
    activeDeadlineSeconds. After that the run is cancelled, and the MLJob is Failed with reason
    PreRunningDeadlineExceeded."""
    backoff_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """How many times a failed run is retried. Default: 0. Range: 0 to 1000. The delay before a
    retry is 10 seconds, then 20, 40 and so on, at most 6 minutes. A retry concerns the run as a
    whole, and comes after the retries that the DAG sets for its tasks."""
    retry_strategy: RetryStrategy = RetryStrategy.CLEAR_FAILED
    """What a retry runs. ClearFailed, the default: the failed tasks of the same run and the tasks
    that did not run because of them. NewRun: all tasks, in a new run. A backfill and an MLJob with
    logicalDate allow ClearFailed only."""
    retry_on_latest_version: bool | None = None
    """Whether a retry with retryStrategy ClearFailed runs the latest version of the DAG's bundle.
    true: the latest version, so that a retry runs the corrected DAG. false: the version that the
    run started with. Default: Airflow's own setting, rerun_with_latest_version of the DAG or of
    [core]. Airflow's default for this setting is false, and Airflow 3.1 does not have the setting.
    retryOnLatestVersion has no effect on a backfill."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """How many seconds after its end the operator deletes the MLJob, as in a batch/v1 Job. Default:
    never. The run stays in Airflow. If a GitOps tool creates deleted MLJobs again, use runPolicy
    OncePerSpec, so that they do not run again."""
    outputs: Annotated[list[OutputSource], Field(max_length=32)] = Field(default_factory=list)
    """XComs to copy into status.outputs when the run ends, at most 32, in addition to what tasks
    publish with mljob_airflow.publish_outputs. A missing XCom is left out and does not fail the
    MLJob. Not allowed with type Backfill."""
    deletion_policy: DeletionPolicy = DeletionPolicy.CANCEL
    """What deleting the MLJob does to its run in progress. Cancel, the default: the run is
    cancelled, and the deletion completes when Airflow reports that the run is over. Retain: the
    MLJob is deleted at once, and the run continues without it."""
    cancellation: Cancellation = Field(default_factory=Cancellation)
    """How a run in progress is cancelled: after a deletion, cancel, suspend, a deadline or a change
    of the spec."""


class TaskCounts(ResourceModel):
    """Task instances of the run by Airflow's state. Each instance of a mapped task counts. The
    counts are exact even if status.tasks is truncated.
    """

    total: Annotated[int, Field(ge=0)] = 0
    """All known task instances of the run. A mapped task counts as one until Airflow expands it."""
    success: int = 0
    """Task instances that succeeded."""
    failed: int = 0
    """Task instances that failed and have no retry left."""
    skipped: int = 0
    """Task instances that were skipped: by themselves, by a branch, or because an upstream task was
    skipped."""
    upstream_failed: int = 0
    """Task instances that did not run because an upstream task failed."""
    removed: int = 0
    """Task instances whose task was removed from the DAG after the run started."""
    running: int = 0
    """Task instances that a worker executes now."""
    deferred: int = 0
    """Task instances that wait for a trigger in the triggerer and use no worker."""
    awaiting_input: int = 0
    """Task instances that wait for a person's answer and use no worker."""
    up_for_retry: int = 0
    """Task instances that failed and wait for their next try."""
    up_for_reschedule: int = 0
    """Sensors that wait for their next check and use no worker."""
    restarting: int = 0
    """Task instances that were cleared while they ran and are about to run again."""
    queued: int = 0
    """Task instances that have a slot and wait for a worker."""
    scheduled: int = 0
    """Task instances that are ready to run and wait for a slot."""
    none: int = 0
    """Task instances that are not scheduled yet, because they wait for upstream tasks."""


class TaskErrorStatus(ResourceModel):
    """Why a task failed."""

    type: str | None = None
    """The class of the exception, for example ValueError. Absent if Airflow does not report it."""
    message: str
    """The text of the exception, cut to 400 characters. The task's log has the whole text."""


class MappedTasks(ResourceModel):
    """The instances of a mapped task."""

    total: int
    """How many instances the task has."""
    states: dict[str, int] = Field(default_factory=dict)
    """How many instances are in each of Airflow's states. The key none counts instances that are
    not scheduled yet."""
    failed_indexes: list[int] | None = None
    """The map indexes of failed instances, the first 20."""


class InputRequest(ResourceModel):
    """A question of the task that a person must answer in Airflow."""

    subject: str | None = None
    """The question in the task's words, cut to 200 characters. Absent if Airflow does not tell the
    operator, for example because its user lacks the permission."""
    url: str | None = None
    """The page in Airflow where the question is answered."""
    instances: int | None = None
    """How many instances of a mapped task wait for an answer."""


class TaskStatus(ResourceModel):
    """One task of the run. All instances of a mapped task share one entry."""

    task_id: str
    """The id of the task in its DAG. For a task in a task group, the ids of the groups come first:
    group.task."""
    state: str
    """Airflow's state of the task, such as running, success, failed, up_for_retry or
    upstream_failed; none before the task is scheduled. For a mapped task, the most important state
    of its instances: failed, then running, then waiting, then success."""
    try_number: Count = 0
    """The number of the current try, from 1; 0 before the first try. For a mapped task, the highest
    number of its instances."""
    start_time: Time | None = None
    """When the current try started. For a mapped task, when the first instance started."""
    end_time: Time | None = None
    """When the task ended. For a mapped task, when the last instance ended."""
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of the task is done, in percent, as the task last reported in this try. For a mapped
    task, the share of ended instances."""
    metrics: dict[str, float] | None = None
    """Numbers that the task last reported, such as epoch, loss or rows. At most 20. Absent for a
    mapped task."""
    error: TaskErrorStatus | None = None
    """Why the task failed. Present while it is failed or waits for its next try. For a mapped task,
    the error of the failed instance with the lowest index."""
    log_url: str | None = None
    """The page of the task in Airflow, with its log."""
    input: InputRequest | None = None
    """The question that the task waits for. Present while a person must answer it."""
    mapped: MappedTasks | None = None
    """The instances of the task. Present for a mapped task."""


class AttemptStatus(ResourceModel):
    """An attempt that has ended."""

    attempt: Number
    """The number of the attempt, from 1."""
    dag_run_id: str
    """The id of the attempt's dag run. A retry with ClearFailed has the same dag run as the attempt
    before it."""
    phase: Phase
    """How the attempt ended: Succeeded, Failed or Cancelled."""
    reason: Reason
    """Why the attempt ended this way, in one CamelCase word, such as TaskFailed."""
    message: str = ""
    """Why the attempt ended this way, in a sentence of at most 300 characters."""
    progress: str | None = None
    """The number of ended task instances and of all task instances, such as 3/5."""
    start_time: Time | None = None
    """When Airflow started the run."""
    completion_time: Time
    """When the run ended."""
    airflow_instance: str | None = None
    """The AirflowInstance of the run. Absent for the Airflow of the operator's settings."""


class BackfillRuns(ResourceModel):
    """Runs of a backfill by Airflow's state."""

    total: Annotated[int, Field(ge=0)] = 0
    """All runs that the backfill created or ran again, over all attempts."""
    queued: int = 0
    """Runs that wait, because of maxActiveRuns or because the backfill or its DAG is paused."""
    running: int = 0
    """Runs in progress."""
    success: int = 0
    """Runs that succeeded."""
    failed: int = 0
    """Runs that failed: a task failed and had no retry left."""
    not_created: int = 0
    """Runs of the range that existed before and are left as they are, as reprocessBehavior says.
    They do not count in total."""


class BackfillRunStatus(ResourceModel):
    """A run of a backfill."""

    dag_run_id: str
    """The id of the run in Airflow."""
    logical_date: Time | None = None
    """The logical date of the run."""
    url: str | None = None
    """The page of the run in Airflow."""


class BackfillStatus(ResourceModel):
    """The runs of a backfill."""

    id: int
    """Airflow's id of the backfill that the newest attempt created."""
    runs: BackfillRuns = Field(default_factory=BackfillRuns)
    """How many runs are in each state. The counts are exact."""
    failed_runs: list[BackfillRunStatus] | None = None
    """The failed runs by date, the first 20."""
    failed_runs_omitted: int | None = None
    """How many failed runs failedRuns leaves out."""


class ConditionStatus(StrEnum):
    """Whether a condition holds, does not hold, or is not known."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ResourceModel):
    """One aspect of the MLJob's state, as in metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """Complete, Failed and Suspended: as in a batch/v1 Job. Reconciling: the operator is still
    working on the MLJob. Stalled: the MLJob can't proceed without a change. SpecApplied is False if
    the spec differs from what was run: the change was refused, or is not run yet."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Reason
    """Why the condition has this status, in one CamelCase word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why the condition has this status, in a sentence for people."""
    last_transition_time: Time
    """When the status of the condition last changed."""
    observed_generation: int | None = None
    """The metadata.generation that the condition describes."""


class MLJobStatus(ResourceModel):
    """The state of the MLJob and its run. Only the operator writes it."""

    observed_generation: int | None = None
    """The metadata.generation that the operator last acted on. -1 until an operator has seen the
    MLJob."""
    phase: Phase | None = None
    """The state of the MLJob in one word, for people: Pending, Suspended, Queued, Running,
    Cancelling, Succeeded, Failed or Cancelled. Programs should read the conditions."""
    reason: Reason | None = None
    """Why the MLJob is in this phase, in one CamelCase word, such as DagPaused."""
    message: str | None = None
    """Why the MLJob is in this phase and what to do about it, in a sentence. The wording may
    change."""
    dag_id: str | None = None
    """The DAG of the run: spec.dagId as it was when the attempt started."""
    airflow_instance: str | None = None
    """The AirflowInstance of the run, recorded when the attempt started. Later changes of
    airflowRef or of the default do not move the run. Absent for the Airflow of the operator's
    settings."""
    dag_run_id: str | None = None
    """The id of the dag run in Airflow, such as mljob.team-a.digits-train.n3s7nmusm7-1. The
    operator stores it before it submits the run. For a backfill, whose runs have ids of their own,
    this id is in the conf of each run under the key mljob."""
    dag_run_url: str | None = None
    """The page of the run in Airflow. For a backfill, the page of the DAG's backfills."""
    dag_run_state: str | None = None
    """Airflow's state of the run: queued, running, success or failed. For a backfill, the state of
    all its runs together."""
    attempts: Number | None = None
    """The number of the current attempt, from 1. The status describes this attempt. The operator
    stores the number before it submits the run."""
    failed_attempts: Count | None = None
    """How many attempts failed and count towards backoffLimit. Attempts that were suspended, or
    cancelled for a changed spec, do not count. A changed spec starts again at 0."""
    spec_hash: str | None = None
    """A hash of dagId, conf, confFrom, airflowRef, backfill and logicalDate as they were when the
    attempt started. The operator compares it with the spec to detect a change."""
    submitted_by: str | None = None
    """The operator process that submits the run of the attempt. It is stored before the run is
    submitted, and no other process submits the run."""
    active_since: Time | None = None
    """When activeDeadlineSeconds starts to count: when the operator first saw the MLJob, or when
    the MLJob was last resumed, when its spec last changed, or when its ended run was cleared in
    Airflow. Absent while the MLJob is suspended."""
    submit_time: Time | None = None
    """When Airflow queued the run, to the microsecond. Clearing a run queues the run again, at a
    later time. Until Airflow's REST API has reported the time, the time of the first event. If
    Airflow reports a later time after the attempt has ended, somebody cleared the run, and another
    attempt starts."""
    start_time: Time | None = None
    """When Airflow started the run."""
    completion_time: Time | None = None
    """When the run ended: succeeded, failed or cancelled."""
    progress: str | None = None
    """The number of ended task instances and of all task instances, such as 3/5. For a backfill,
    the numbers of ended runs and of all runs."""
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of the run is done, in percent. A running task counts with the progress that it
    reports. For a backfill, the share of ended runs."""
    current_task: str | None = None
    """The task that waits for a person, or else the task that runs, or else the task that is
    deferred. Of several, the one that started last."""
    task_counts: TaskCounts | None = None
    """How many task instances are in each state. States without instances are left out."""
    tasks: list[TaskStatus] | None = None
    """The tasks of the run in the order in which they started, at most 100. If there are more,
    failed tasks are kept first, then running and retrying ones, then the latest."""
    tasks_omitted: Count | None = None
    """How many tasks are missing from the list tasks, because it is full. taskCounts counts all
    tasks."""
    outputs: dict[str, Any] | None = None
    """What the tasks published with mljob_airflow.publish_outputs, and the XComs of spec.outputs,
    at most 16 KiB. They are stored before the condition Complete becomes True. The exception is an
    Airflow that can't be read for 30 seconds after the end of the run: then Complete comes
    first."""
    outputs_omitted: list[str] | None = None
    """The names of outputs that are not in outputs. If all outputs together exceed 16 KiB, the
    largest ones are omitted. Outputs that are too large or not JSON can't be published: the log of
    the task says which of the two. A name with the suffix (in an object store) has its value there,
    because of Airflow's XCom backend, and Airflow's REST API returns only the address of the
    value."""
    backfill: BackfillStatus | None = None
    """The runs of a backfill. Present with type Backfill."""
    history: list[AttemptStatus] | None = None
    """The attempts that have ended, oldest first, the last 10. The current attempt is listed once
    it has ended and another attempt will follow."""
    last_event_time: Time | None = None
    """When the newest change in this status happened in Airflow."""
    status_source: StatusSource | None = None
    """How the operator learned of the newest change. Kafka: an event. REST: Airflow's REST API."""
    conditions: list[Condition] | None = None
    """The state of the MLJob for programs: Complete, Failed, Suspended, SpecApplied, Reconciling
    and Stalled. For example: kubectl wait --for=condition=Complete mljob/digits-train
    --timeout=1h."""
