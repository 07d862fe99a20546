"""The spec of an MLJob."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ..airflow_id import AirflowId
from ..job_type import JobType
from ..resource import ObjectName, ResourceModel
from ..times import Time

MAX_CONF_LEVELS = 32
"""The maximum number of nested levels of objects and lists in a conf."""
MAX_CONF_BYTES = 256 * 1024
"""The maximum number of bytes of a conf as compact JSON."""
MAX_UPSTREAMS = 8
"""The maximum number of entries of ``confFrom`` with ``outputsRef``."""


OutputKey = Annotated[str, Field(min_length=1, max_length=63)]
"""The name of an output, as ``mljob_airflow.publish_outputs`` accepts it."""


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
    """What the operator does if a field that determines the run, such as spec.conf, changes after
    the run was submitted. With OncePerSpec, also what the operator does if the MLJob is deleted and
    created again.
    """

    ONCE = "Once"
    ON_CHANGE = "OnChange"
    ONCE_PER_SPEC = "OncePerSpec"


class RetryStrategy(StrEnum):
    """Which tasks a retry runs. NewRun: all tasks, in a new run. ClearFailed: in the same run, the
    failed tasks, and the downstream tasks that could not run because of these failures.
    """

    CLEAR_FAILED = "ClearFailed"
    NEW_RUN = "NewRun"


class ReprocessBehavior(StrEnum):
    """What a backfill does with the runs that already exist for its dates: leave all of them as
    they are, repeat the failed runs, or repeat all completed runs.
    """

    NONE = "None"
    FAILED = "Failed"
    COMPLETED = "Completed"


class Cancellation(ResourceModel):
    """How a run in progress is cancelled."""

    strategy: CancellationStrategy = CancellationStrategy.DAG
    """How the operator ends the run. Dag, the default: trigger the cancellation DAG mljob_cancel.
    Its log in Airflow shows each step, and teardown tasks get 30 seconds. If the cancellation DAG
    is missing or paused, or does not start in time, the operator uses the REST API. Api: fail the
    tasks through Airflow's REST API at once, without time for teardown tasks. A backfill is always
    cancelled through the REST API.
    """
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """How long a deletion waits for the run to end, in seconds since the deletion. Default: 300.
    Range: 1 to 86400. After this time the operator sets the run to failed through the REST API once
    and removes the MLJob, even if Airflow does not answer. If the run may still be active then, the
    Warning Event CancellationAbandoned names the run. This matters only while Airflow is
    unreachable. Otherwise a cancellation takes seconds.
    """
    children: ChildRuns = ChildRuns.LEAVE
    """What the operator does with runs that tasks of the cancelled run have started with
    TriggerDagRunOperator. Leave, the default: these runs continue, as in Airflow, and the Event
    ChildrenLeft names them. Cancel: the operator cancels these runs and the runs that they have
    started in turn, at most 50 in all. It cancels only runs of DAGs that an access rule lets the
    MLJob's namespace run, and that belong to no other MLJob. The Event ChildrenCancelled names the
    cancelled runs, and the Event ChildrenLeft names the runs that continue.
    """


class Reference(ResourceModel):
    """The name of a ConfigMap or a Secret in the MLJob's namespace, and whether the object may be
    missing.
    """

    name: ObjectName
    """The name of the object, in the MLJob's namespace."""
    optional: bool = False
    """Whether the run is submitted without the object if it does not exist. Default: false, which
    means that the MLJob waits for the object, with reason ReferenceMissing."""


class AirflowReference(ResourceModel):
    """The name of the AirflowInstance in which the MLJob is to run."""

    name: ObjectName
    """The name of the AirflowInstance."""


class OutputsReference(ResourceModel):
    """Another MLJob in the same namespace, whose outputs become keys of this MLJob's conf."""

    name: ObjectName
    """The name of the other MLJob, in the MLJob's namespace. It must not be the MLJob's own
    name."""
    keys: Annotated[list[OutputKey], Field(min_length=1, max_length=32)] | None = None
    """The names of the outputs to take, at most 32. Each of them must be in status.outputs of the
    other MLJob when that MLJob has succeeded. Default: all outputs."""


class ConfSource(ResourceModel):
    """A ConfigMap or a Secret whose keys become keys of the conf, or another MLJob whose outputs
    become keys of the conf. Each value from a ConfigMap or Secret is a string. A key that ends in
    .json is different: its value must be a JSON object, and the fields of that object become keys
    of the conf. Outputs keep their types.
    """

    config_map_ref: Reference | None = None
    """The ConfigMap to read. Set exactly one of configMapRef, secretRef and outputsRef."""
    secret_ref: Reference | None = None
    """The Secret to read. Set exactly one of configMapRef, secretRef and outputsRef. The operator
    sends the values to Airflow. It redacts them in the status, in Events and in its log, also where
    a task's error or output quotes them. Airflow stores the conf of a run, and everyone who can
    read the run can read the conf, so prefer an Airflow Connection for credentials. The chart
    grants the operator access to Secrets only with confFrom.secrets=true.
    """
    outputs_ref: OutputsReference | None = None
    """The MLJob whose outputs to take. Set exactly one of configMapRef, secretRef and outputsRef.
    The run is submitted after the other MLJob has succeeded. Until then this MLJob waits with
    reason WaitingForMLJob, also while the other MLJob does not exist. The reason is
    DependencyFailed if the other MLJob can't succeed without a change, or lacks an output of keys.
    This MLJob continues by itself when the other MLJob succeeds after all.
    """

    @model_validator(mode="after")
    def _require_exactly_one_source(self) -> Self:
        if [self.config_map_ref, self.secret_ref, self.outputs_ref].count(None) != 2:
            raise ValueError("set exactly one of configMapRef, secretRef and outputsRef")
        return self


class OutputSource(ResourceModel):
    """An XCom that becomes an entry of status.outputs."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The name of the entry in status.outputs. The entry replaces an output of the same name that a
    task has published.
    """
    task_id: AirflowId
    """The id of the task that pushes the XCom. For a task in a task group, the ids of the groups
    come first: group.task. For a mapped task, the entry is the list of the values of its instances,
    by map index, at most 100."""
    key: Annotated[str, Field(min_length=1, max_length=512)] = "return_value"
    """The key of the XCom. Default: return_value, which is what the task returns."""


class BackfillSpec(ResourceModel):
    """Which dates of the DAG's schedule a backfill runs, and how."""

    from_: Annotated[Time, Field(alias="from")]
    """The first logical date of the range, as an RFC 3339 date-time such as 2026-01-01T00:00:00Z.
    It must not be later than the date in the field to.
    """
    to: Time
    """The last logical date of the range, inclusive, as an RFC 3339 date-time such as
    2026-01-31T00:00:00Z. Dates in the future are not run. If the whole range is in the future, the
    MLJob is Stalled with reason ValidationFailed."""
    reprocess_behavior: ReprocessBehavior = ReprocessBehavior.NONE
    """What to do with runs of the range that exist already. None, the default: leave all of them as
    they are. Failed: run the failed runs again. Completed: run all ended runs again. Runs in
    progress are always left as they are. status.backfill.runs.notCreated counts the runs that are
    left.
    """
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
    confFrom it has at most 32 levels and 256 KiB. The operator checks the conf against the params
    of the DAG before it submits the run. If the conf does not fit, the MLJob is Stalled with reason
    ValidationFailed, and the message names the param. Everyone who can read the MLJob can read the
    conf, so take secret values from a Secret with confFrom.
    """
    conf_from: Annotated[list[ConfSource], Field(max_length=16)] = Field(default_factory=list)
    """ConfigMaps, Secrets and outputs of other MLJobs that provide keys of the conf, at most 16, of
    which at most 8 are outputs. All are in the MLJob's namespace. Later entries override earlier
    entries, and spec.conf overrides all of them. The operator reads them when it submits a run. A
    later change of a ConfigMap, a Secret or an output neither affects that run nor starts another
    run.
    """
    logical_date: Time | None = None
    """The logical date of the run, as an RFC 3339 date-time such as 2026-01-01T00:00:00Z. Default:
    no logical date, so that templates that need a date, such as {{ ds }}, fail. Airflow allows one
    run of a DAG per logical date: if another run has this date, the MLJob waits with reason
    LogicalDateTaken. So a retry can't create a second run, and retryStrategy must be ClearFailed,
    the default.
    """
    airflow_ref: AirflowReference | None = None
    """The AirflowInstance to run in. Default: the default AirflowInstance, or if there is none, the
    Airflow of the operator's settings. status.airflowInstance records the choice, and the run stays
    in this Airflow if the default changes later.
    """
    run_policy: RunPolicy = RunPolicy.ONCE
    """What happens if dagId, conf, confFrom, airflowRef, backfill or logicalDate changes after the
    run was submitted. Once, the default: the change is refused, and the condition SpecApplied is
    False. OnChange: the run in progress is cancelled, and a new run starts. OncePerSpec: like
    OnChange. In addition, an MLJob that was deleted and created again with the same namespace, name
    and spec takes over the existing run instead of running again. Use OncePerSpec with GitOps
    tools.
    """
    suspend: bool = False
    """Whether the MLJob is suspended, as in a batch/v1 Job. Default: false. true: the run in
    progress is cancelled, and no run starts. Back to false: a new attempt starts with a new run. A
    backfill is paused instead. Its runs in progress finish, no other run starts, and false resumes
    the backfill.
    """
    cancel: bool = False
    """Whether the MLJob is cancelled. Default: false. true: the run is cancelled, and the MLJob
    stays as a record in phase Cancelled. The value true is final and can't be set back to false. To
    stop now and run again later, use suspend."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """How many seconds the MLJob may be active, over all attempts, counted from status.activeSince.
    Default: no limit. After this time the run is cancelled, and the MLJob is Failed with reason
    DeadlineExceeded, whatever backoffLimit says.
    """
    pre_running_deadline_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """How many seconds an attempt may wait for its first task to start, for example because the DAG
    is missing or paused, a pool is full or Airflow is down. Default: no limit. The value must not
    exceed activeDeadlineSeconds. After this time the run is cancelled, and the MLJob is Failed with
    reason PreRunningDeadlineExceeded.
    """
    backoff_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """How many times a failed run is retried. Default: 0. Range: 0 to 1000. The delay before a
    retry is 10 seconds, then 20, 40 and so on, at most 6 minutes. A retry is of the run as a whole.
    It comes after the retries of single tasks that the DAG defines.
    """
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
