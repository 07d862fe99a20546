"""The MLJob resource, ``mljob.dev/v1alpha1``: the models here are the source of the CRD (``make generate``).

A field's docstring is what ``kubectl explain`` shows; its bounds are what the apiserver enforces. Everything in the spec
works: a field that does not is not here.

Sources: Kubernetes API conventions (spec, status, conditions), batch/v1 Job for names and meanings that Jobs already have,
kstatus (sigs.k8s.io/cli-utils) for the conditions Reconciling and Stalled.
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
"""On an MLJob as long as the operator owes it something: a run to cancel, a last look at its tasks."""

UNOBSERVED = {"observedGeneration": -1}
"""The status of an MLJob that no operator has seen yet, filled in by the apiserver. Without one, kstatus and all that is built on it take the
object for finished. As Flux's own resources have it."""

MAX_CONF_LEVELS = 32
"""Levels of objects and lists in a conf."""
MAX_CONF_BYTES = 256 * 1024
"""Of a conf as JSON."""
MAX_TASKS = 100
"""Entries in ``status.tasks``."""
MAX_ERROR_LENGTH = 400
"""Characters of an error's text in the status."""
MAX_HISTORY = 10
"""Entries in ``status.history``."""
MAX_FAILED_RUNS = 20
"""Entries in ``status.backfill.failedRuns``."""


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )


class DeletionPolicy(StrEnum):
    """What happens to a run in progress when its MLJob is deleted."""

    CANCEL = "Cancel"
    RETAIN = "Retain"


class CancellationStrategy(StrEnum):
    """Who sets the run's tasks failed."""

    DAG = "Dag"
    API = "Api"


class ChildRuns(StrEnum):
    """What becomes of runs that a cancelled run's tasks have started."""

    LEAVE = "Leave"
    CANCEL = "Cancel"


class RunPolicy(StrEnum):
    """How many runs an MLJob's spec is worth."""

    ONCE = "Once"
    ON_CHANGE = "OnChange"
    ONCE_PER_SPEC = "OncePerSpec"


class RetryStrategy(StrEnum):
    """What a retry runs."""

    CLEAR_FAILED = "ClearFailed"
    NEW_RUN = "NewRun"


class ReprocessBehavior(StrEnum):
    """What a backfill does with runs that are there already."""

    NONE = "None"
    FAILED = "Failed"
    COMPLETED = "Completed"


class Phase(StrEnum):
    """Where the MLJob is in its life; one word for people, conditions are for programs."""

    PENDING = "Pending"
    SUSPENDED = "Suspended"
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
    children: ChildRuns = ChildRuns.LEAVE
    """What becomes of runs that tasks of a cancelled run have started (TriggerDagRunOperator). Leave: they go on, as in Airflow, and an Event names them.
    Cancel: they are cancelled as well, as far as the MLJob's namespace may run their DAGs; an Event names those that are, and those that go on."""


MAX_COUNT = 2147483647
"""As Airflow's database and Go's int32 have it."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""A number that is counted up."""
Number = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""A number in a sequence, from 1."""
Reason = Annotated[str, Field(min_length=1, max_length=1024)]
"""As metav1.Condition's."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$")]


class Reference(_Model):
    """An object in the MLJob's namespace."""

    name: ObjectName
    """The object's name."""
    optional: bool = False
    """Whether the MLJob may run without it. Otherwise the submission waits until it is there."""


class AirflowReference(_Model):
    """An AirflowInstance."""

    name: ObjectName
    """The AirflowInstance's name."""


class ConfSource(_Model):
    """A ConfigMap or a Secret whose keys become keys of the conf. Every value is a string, except under a key that ends in .json:
    that one holds a JSON object, whose fields are merged into the conf.
    """

    config_map_ref: Reference | None = None
    """A ConfigMap."""
    secret_ref: Reference | None = None
    """A Secret. The operator sends its values to Airflow and redacts them everywhere else: in the status, Events and its log, also where a task's
    error or output quotes them. Airflow stores a run's conf and shows it to whoever may read the run: for credentials, an Airflow Connection
    is the better place."""

    @model_validator(mode="after")
    def _names_one_source(self) -> Self:
        if (self.config_map_ref is None) == (self.secret_ref is None):
            raise ValueError("name exactly one of configMapRef and secretRef")
        return self


class OutputSource(_Model):
    """An XCom that becomes an entry of status.outputs."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The entry's name."""
    task_id: AirflowId
    """The task that pushed it, with the ids of its task groups before it. Of a mapped task, the values of all instances as a list."""
    key: Annotated[str, Field(min_length=1, max_length=512)] = "return_value"
    """The XCom's key; return_value is what the task returned."""


class BackfillSpec(_Model):
    """A range of a DAG's schedule whose runs are to be made."""

    from_: Annotated[Time, Field(alias="from")]
    """The first logical date: an RFC 3339 date-time, as 2026-01-01T00:00:00Z."""
    to: Time
    """The last logical date, included: an RFC 3339 date-time. What lies in the future is left out."""
    reprocess_behavior: ReprocessBehavior = ReprocessBehavior.NONE
    """What to do with runs of the range that are there already. None: leave them. Failed: run failed ones again. Completed: run all again that
    have ended."""
    max_active_runs: Annotated[int, Field(ge=1, le=10000)] = 10
    """How many of its runs may be active at once. The DAG's own max_active_runs does not count for a backfill."""
    run_backwards: bool = False
    """true: the latest date first."""


class MLJobSpec(_Model):
    """What to run."""

    dag_id: AirflowId
    """The DAG to run, by its id in Airflow; usually one with schedule=None. It may appear in Airflow after the MLJob does."""
    type: JobType = JobType.CUSTOM
    """What kind of ML work this is: Training, DatasetGeneration, Enrichment, Prediction, Inference or Custom: it can be filtered on
    (kubectl get mljobs --field-selector spec.type=Training) and does not change what is run. Backfill makes the runs that spec.backfill describes."""
    backfill: BackfillSpec | None = None
    """With type Backfill: the range of the DAG's schedule. The DAG needs a schedule."""
    conf: dict[str, Any] = Field(default_factory=dict)
    """The dag run's conf: any JSON object of at most 32 levels and 256 KiB, what confFrom adds included. It is validated against the DAG's params
    before the run is submitted, and by Airflow."""
    conf_from: Annotated[list[ConfSource], Field(max_length=16)] = Field(default_factory=list)
    """ConfigMaps and Secrets that the conf is made from: merged in order, a later one wins, and spec.conf wins over all of them. They
    are read when a run is submitted; a later change of theirs doesn't touch it."""
    logical_date: Time | None = None
    """The run's logical date, which templates such as {{ ds }} need: an RFC 3339 date-time, as 2026-01-01T00:00:00Z. A DAG has one run of a date: where it
    has another one, the MLJob waits with reason LogicalDateTaken. So a retry can't be a new run: retryStrategy has to be ClearFailed. Absent: the run has no
    logical date, and templates that need one fail."""
    airflow_ref: AirflowReference | None = None
    """The AirflowInstance to run in; absent: the default one, or else the Airflow of the operator's settings. Which one that was is kept in
    status.airflowInstance for as long as the run is of interest."""
    run_policy: RunPolicy = RunPolicy.ONCE
    """Once: one run for each MLJob; a later change of dagId, conf, confFrom, airflowRef, backfill or logicalDate is refused, and a condition says so. OnChange: such a
    change cancels the run in progress and starts a new one. OncePerSpec: like OnChange, and an MLJob that was deleted and created
    again with the same namespace, name and spec takes over the run that is there instead of running again."""
    suspend: bool = False
    """true: nothing runs; a run in progress is cancelled. false again: a new attempt is started. As in a batch/v1 Job. A backfill is paused instead:
    runs in progress end, no other one starts; false again: it goes on."""
    cancel: bool = False
    """true: cancel the run and keep the MLJob as a record, in phase Cancelled. It can't be set back."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """Seconds that the MLJob may be active, over all attempts, since it was first seen or last resumed. After that its run is cancelled and the
    MLJob fails with reason DeadlineExceeded, whatever backoffLimit says."""
    pre_running_deadline_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """Seconds that an attempt may wait for its first task to start: the DAG is missing or paused, a pool is full, Airflow is away. After that
    the run is cancelled and the MLJob fails with reason PreRunningDeadlineExceeded."""
    backoff_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """How many times a failed run is retried, after 10 seconds, then 20, 40, ... up to 6 minutes. Tasks have retries of their own in Airflow;
    this is for the run as a whole."""
    retry_strategy: RetryStrategy = RetryStrategy.CLEAR_FAILED
    """What a retry runs. ClearFailed: the failed tasks of the same run, and those that could not run because of them. NewRun: everything, in a new run."""
    retry_on_latest_version: bool | None = None
    """With retryStrategy ClearFailed: whether a retry runs the latest version of the DAG's bundle. false: the version that the run began with, also where the
    DAG was mended since. Absent: as Airflow is set ([core] rerun_with_latest_version and the DAG's own rerun_with_latest_version, which 3.1 does not
    have), which is false by default. Of a backfill, nothing."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """Seconds after its end at which the MLJob is deleted; absent: never. The run stays in Airflow. Use runPolicy OncePerSpec where a GitOps
    tool creates again what was deleted."""
    outputs: Annotated[list[OutputSource], Field(max_length=32)] = Field(default_factory=list)
    """XComs to bring into status.outputs when the run ends."""
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


class InputRequest(_Model):
    """What a task waits for that only a person can give."""

    subject: str | None = None
    """What is asked, in the task's words, cut to 200 characters; absent where Airflow does not tell the operator."""
    url: str | None = None
    """The page in Airflow on which to answer."""
    instances: int | None = None
    """Of a mapped task, how many of its instances wait."""


class TaskStatus(_Model):
    """One task of the run. A mapped task has one entry for all its instances."""

    task_id: str
    """The task's id in its DAG, with those of its task groups before it."""
    state: str
    """Airflow's word: success, running, failed, up_for_retry, upstream_failed, ...; none before it is scheduled. Of a mapped task,
    the state that says most: failed before running before waiting before success."""
    try_number: Count = 0
    """1 for the first try, 0 before it; of a mapped task, the highest."""
    start_time: Time | None = None
    """When this try began; of a mapped task, when the first instance did."""
    end_time: Time | None = None
    """When it ended; of a mapped task, when the last instance did."""
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    """Percent done, as the task itself last reported."""
    metrics: dict[str, float] | None = None
    """Numbers that the task last reported: epoch, loss, rows written."""
    error: TaskErrorStatus | None = None
    log_url: str | None = None
    """The task's page in Airflow, with its log."""
    input: InputRequest | None = None
    """Present while the task waits for a person's answer."""
    mapped: MappedTasks | None = None
    """Present for a mapped task."""


class AttemptStatus(_Model):
    """An attempt that is over."""

    attempt: Number
    """Its number, counted from 1."""
    dag_run_id: str
    """Its dag run. Attempts that cleared failed tasks share one."""
    phase: Phase
    """Succeeded, Failed or Cancelled."""
    reason: Reason
    """Why, in one CamelCase word."""
    message: str = ""
    """Why, in a sentence."""
    progress: str | None = None
    """Finished task instances of all at its end: 3/5."""
    start_time: Time | None = None
    """When Airflow started it."""
    completion_time: Time
    """When it ended."""
    airflow_instance: str | None = None
    """The AirflowInstance that the run is in; absent: the Airflow of the operator's settings."""


class BackfillRuns(_Model):
    """Runs of a backfill by Airflow's state."""

    total: Annotated[int, Field(ge=0)] = 0
    """All that it made or ran again."""
    queued: int = 0
    """Wait: for maxActiveRuns, or because the backfill or its DAG is paused."""
    running: int = 0
    """In progress."""
    success: int = 0
    """Ended well."""
    failed: int = 0
    """Ended badly: a task failed for good."""
    not_created: int = 0
    """Not among the total: runs of the range that were there already and are left as they are (reprocessBehavior)."""


class BackfillRunStatus(_Model):
    """A run of a backfill."""

    dag_run_id: str
    """Its id in Airflow."""
    logical_date: Time | None = None
    """The date that it is for."""
    url: str | None = None
    """Its page in Airflow."""


class BackfillStatus(_Model):
    """What became of a backfill's runs."""

    id: int
    """The backfill's id in Airflow."""
    runs: BackfillRuns = Field(default_factory=BackfillRuns)
    """Its runs by state; always exact."""
    failed_runs: list[BackfillRunStatus] | None = None
    """Runs that failed, in the order of their dates: at most 20."""
    failed_runs_omitted: int | None = None
    """How many entries ``failedRuns`` lacks to stay within bounds."""


class ConditionStatus(StrEnum):
    """A condition holds, doesn't, or can't be known."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(_Model):
    """One aspect of the MLJob's state, as in metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """Complete, Failed and Suspended mean what they mean for a Job; Reconciling and Stalled are kstatus's; SpecApplied is False where a change
    of the spec was refused."""
    status: ConditionStatus
    reason: Reason
    """One CamelCase word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """One sentence for people."""
    last_transition_time: Time
    """When the condition's status last changed."""
    observed_generation: int | None = None
    """The generation of the spec that the condition speaks of."""


class MLJobStatus(_Model):
    """What became of it. Written by the operator alone."""

    observed_generation: int | None = None
    """The generation of the spec that was last acted on; -1 before the operator has seen the MLJob."""
    phase: Phase | None = None
    """Pending, Suspended, Queued, Running, Cancelling, Succeeded, Failed or Cancelled."""
    reason: Reason | None = None
    """Why it is in this phase, in one CamelCase word."""
    message: str | None = None
    """Why it is in this phase, and what to do about it, in a sentence."""
    dag_id: str | None = None
    """The DAG that the run belongs to: what spec.dagId said when the run was submitted."""
    airflow_instance: str | None = None
    """The AirflowInstance that the run is in, whatever airflowRef or the default say by now; absent: the Airflow of the operator's settings."""
    dag_run_id: str | None = None
    """The id of the dag run in Airflow. It is stored before the run is submitted. Of a backfill, whose runs have ids of their own: the id by which
    their conf says that they are this MLJob's."""
    dag_run_url: str | None = None
    """The run's page in Airflow; of a backfill, the page of its DAG's backfills."""
    dag_run_state: str | None = None
    """Airflow's own word for the run: queued, running, success or failed. Of a backfill, the word for all of its runs together."""
    attempts: Number | None = None
    """The number of the attempt that this status speaks of. It is stored before the run is submitted."""
    failed_attempts: Count | None = None
    """How many attempts failed, of those that backoffLimit counts: cancelled ones are not among them."""
    spec_hash: str | None = None
    """Pins dagId, conf, confFrom, airflowRef and backfill as the attempt was started with."""
    submitted_by: str | None = None
    """The operator process that submits the attempt's run, stored before the run is submitted. No other process submits it."""
    active_since: Time | None = None
    """From when activeDeadlineSeconds counts; absent while suspended."""
    submit_time: Time | None = None
    """When Airflow queued the attempt's run, or cleared it for this attempt, to the microsecond; until its REST API has told, the time of the
    first event. A run that turns out, after the attempt's end, to have been queued later than this was cleared by somebody."""
    start_time: Time | None = None
    """When Airflow started the run."""
    completion_time: Time | None = None
    """When the run ended, in whichever way."""
    progress: str | None = None
    """Finished task instances of all: 3/5. Of a backfill, finished runs of all."""
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """Finished share of all task instances, running ones counted by the progress that they report. Of a backfill, the share of runs."""
    current_task: str | None = None
    """The task that runs, or the one that started last where several do."""
    task_counts: TaskCounts | None = None
    """Task instances by state."""
    tasks: list[TaskStatus] | None = None
    """The run's tasks: at most 100, failed ones first to be kept, then unfinished, then latest."""
    tasks_omitted: Count | None = None
    """How many entries ``tasks`` lacks to stay within bounds; taskCounts has them all."""
    outputs: dict[str, Any] | None = None
    """What the run's tasks published as outputs (``mljob_airflow.publish_outputs``) and what spec.outputs names, at most 16 KiB. They
    are there before the condition Complete is True, unless Airflow could not be asked for them within 30 seconds of the run's end."""
    outputs_omitted: list[str] | None = None
    """Names of outputs that are left out: the largest ones, where all of them together are larger than 16 KiB, and those that ``publish_outputs`` could
    not publish, because they are no JSON or too large; the task's log says which. "(in an object store)" behind a name: Airflow's XCom backend keeps the
    value there, and its REST API gives the address alone."""
    backfill: BackfillStatus | None = None
    """With type Backfill: its runs."""
    history: list[AttemptStatus] | None = None
    """Attempts that are over, the last 10, oldest first; the one that this status speaks of only where another one is to follow."""
    last_event_time: Time | None = None
    """When the newest fact in this status came about."""
    status_source: StatusSource | None = None
    """Kafka: pushed by an event. REST: read from Airflow's API."""
    conditions: list[Condition] | None = None
    """Complete, Failed, Suspended, SpecApplied; Reconciling, Stalled."""
