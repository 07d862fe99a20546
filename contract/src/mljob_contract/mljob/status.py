"""The status of an MLJob."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from ..resource import Count, Number, Reason, ResourceModel
from ..times import Time
from .kind import MAX_RETRY_REQUEST

MAX_TASKS = 100
"""The maximum number of entries in ``status.tasks``."""
MAX_ERROR_LENGTH = 400
"""The maximum number of characters of a task's error in the status."""
MAX_HISTORY = 10
"""The maximum number of entries in ``status.history``."""
MAX_FAILED_RUNS = 20
"""The maximum number of entries in ``status.backfill.failedRuns``."""


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
    """Where the newest information in the status came from: Kafka, or Airflow's REST API."""

    KAFKA = "Kafka"
    REST = "REST"


class TaskCounts(ResourceModel):
    """How many task instances of the run are in each of Airflow's states. Each instance of a mapped
    task is counted. The counts are exact even if status.tasks is truncated.
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
    """The error with which a task failed."""

    type: str | None = None
    """The class of the exception, for example ValueError. Absent if Airflow does not report it."""
    message: str
    """The text of the exception, cut to 400 characters. The task's log has the whole text."""


class MappedTasks(ResourceModel):
    """How many instances a mapped task has in each state, and which of them failed."""

    total: int
    """How many instances the task has."""
    states: dict[str, int] = Field(default_factory=dict)
    """How many instances are in each of Airflow's states. The key none counts instances that are
    not scheduled yet."""
    failed_indexes: list[int] | None = None
    """The map indexes of failed instances, the first 20."""


class InputRequest(ResourceModel):
    """A question that a task asks while it runs. A person must answer the question in Airflow."""

    subject: str | None = None
    """The question in the task's words, cut to 200 characters. Absent if Airflow does not tell the
    operator, for example because its user lacks the permission."""
    url: str | None = None
    """The page in Airflow where the question is answered."""
    instances: int | None = None
    """How many instances of the task wait for an answer. Present for a mapped task."""


class TaskStatus(ResourceModel):
    """One task of the run. All instances of a mapped task share one entry."""

    task_id: str
    """The id of the task in its DAG. For a task in a task group, the ids of the groups come first:
    group.task."""
    state: str
    """Airflow's state of the task, such as running, success, failed, up_for_retry or
    upstream_failed. The value is none before the task is scheduled. For a mapped task, the most
    important state of its instances: failed, then running, then waiting, then success.
    """
    try_number: Count = 0
    """The number of the current try, from 1. The value is 0 before the first try. For a mapped
    task, the highest number of its instances.
    """
    start_time: Time | None = None
    """When the current try started. For a mapped task, when the first instance started."""
    end_time: Time | None = None
    """When the task ended. For a mapped task, when the last instance ended."""
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of the task is done, in percent, as the task last reported in this try. For a mapped
    task, the share of ended instances, with the reported progress of active instances."""
    metrics: dict[str, float] | None = None
    """Numbers that the task last reported, such as epoch, loss or rows. At most 20. Absent for a
    mapped task."""
    error: TaskErrorStatus | None = None
    """Why the task failed. Present while the task is failed or waits for its next try. For a mapped
    task, the error of the failed instance with the lowest index.
    """
    log_url: str | None = None
    """The page of the task in Airflow, with its log. Present while the task is failed or waits for
    its next try. The URL of any task's page is dagRunUrl, followed by /tasks/ and the
    percent-encoded taskId.
    """
    input: InputRequest | None = None
    """The question for whose answer the task waits. Present while a person must answer the
    question.
    """
    mapped: MappedTasks | None = None
    """The instances of the task. Present for a mapped task."""


class AttemptStatus(ResourceModel):
    """An attempt that has ended."""

    attempt: Number
    """The number of the attempt, from 1."""
    dag_run_id: str
    """The id of the attempt's dag run. A retry with ClearFailed has the same dag run as the attempt
    before it. If both submitTime and startTime are absent, the attempt ended before Airflow had the
    run."""
    phase: Phase
    """How the attempt ended: Succeeded, Failed or Cancelled."""
    reason: Reason
    """Why the attempt ended this way, in one CamelCase word, such as TaskFailed."""
    message: str = ""
    """Why the attempt ended this way, in a sentence of at most 300 characters."""
    progress: str | None = None
    """The number of task instances that succeeded and of all task instances, such as 3/5. Skipped
    task instances count as succeeded, unless the run failed.
    """
    spec_hash: str | None = None
    """A hash of the spec that the attempt ran, as in status.specHash."""
    submit_time: Time | None = None
    """When Airflow queued the run. Absent if the attempt ended before Airflow queued the run for
    it."""
    start_time: Time | None = None
    """When Airflow started the run."""
    completion_time: Time
    """When the run ended."""
    airflow_instance: str | None = None
    """The AirflowInstance of the run. Absent for the Airflow of the operator's settings."""


class BackfillRuns(ResourceModel):
    """How many runs of a backfill are in each of Airflow's states."""

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
    The field total does not count these runs.
    """


class BackfillRunStatus(ResourceModel):
    """A run of a backfill."""

    dag_run_id: str
    """The id of the run in Airflow."""
    logical_date: Time | None = None
    """The logical date of the run."""
    url: str | None = None
    """The page of the run in Airflow."""


class BackfillStatus(ResourceModel):
    """The id of the backfill in Airflow, the numbers of its runs by state, and its failed runs."""

    id: int
    """Airflow's id of the backfill that the newest attempt created."""
    runs: BackfillRuns = Field(default_factory=BackfillRuns)
    """How many runs are in each state. The counts are exact."""
    failed_runs: list[BackfillRunStatus] | None = None
    """The failed runs by date, the first 20."""
    failed_runs_omitted: int | None = None
    """How many failed runs failedRuns leaves out."""


class UpstreamRun(ResourceModel):
    """A run of another MLJob. The conf of this MLJob contains outputs of that run."""

    name: str
    """The name of the other MLJob, in the namespace of this MLJob."""
    dag_run_id: str
    """The id of the other MLJob's run in Airflow."""
    attempt: Number
    """The attempt of the other MLJob that succeeded."""


class ConditionStatus(StrEnum):
    """Whether a condition holds, does not hold, or is not known."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ResourceModel):
    """One aspect of the MLJob's state, as in metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """Complete, Failed and Suspended mean the same as in a batch/v1 Job. Reconciling: the operator
    is still working on the MLJob. Stalled: the MLJob can't proceed without a change. SpecApplied is
    False if the spec differs from the spec of the run, because the change was refused or has not
    started a run yet. UnknownParams: the conf of the run has keys that the DAG does not declare as
    params.
    """
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
    """The state of the MLJob and its run. Only the operator writes the status."""

    observed_generation: int | None = None
    """The metadata.generation that the operator last acted on. The value is -1 until an operator
    has read the MLJob.
    """
    phase: Phase | None = None
    """The state of the MLJob in one word, for people: Pending, Suspended, Queued, Running,
    Cancelling, Succeeded, Failed or Cancelled. Programs should read the conditions."""
    reason: Reason | None = None
    """Why the MLJob is in this phase, in one CamelCase word, such as DagPaused."""
    message: str | None = None
    """Why the MLJob is in this phase and what to do about it, in a sentence. The wording may
    change."""
    dag_id: str | None = None
    """The DAG of the run. This is spec.dagId at the start of the attempt."""
    airflow_instance: str | None = None
    """The AirflowInstance of the run, recorded when the attempt started. Later changes of
    airflowRef or of the default do not move the run. Absent for the Airflow of the operator's
    settings."""
    dag_run_id: str | None = None
    """The id of the dag run in Airflow, such as mljob.team-a.digits-train.n3s7nmusm7-1. The
    operator stores it before it submits the run. The runs of a backfill have other ids, and have
    this id in their conf under the key mljob.
    """
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
    cancelled for a changed spec, do not count. For a changed spec or a requested retry, the count
    starts again at 0.
    """
    last_handled_retry: Annotated[str, Field(max_length=MAX_RETRY_REQUEST)] | None = None
    """The value of the annotation mljob.dev/retry-requested-at that the operator has handled last.
    The operator stores the value together with the attempt that handles the request, before it
    submits the run of the attempt. While the annotation has another value, the retry is still to
    come.
    """
    spec_hash: str | None = None
    """A hash of dagId, conf, confFrom, airflowRef, backfill and logicalDate as they were when the
    attempt started. The operator compares the hash with the spec to detect a change.
    """
    upstreams: list[UpstreamRun] | None = None
    """The runs of other MLJobs whose outputs are in the conf, as spec.confFrom says with
    outputsRef. The operator stores them before it submits the run.
    """
    submitted_by: str | None = None
    """The operator process that submits the run of the attempt. The operator stores this name
    before it submits the run, and no other process submits the run.
    """
    active_since: Time | None = None
    """The time from which activeDeadlineSeconds counts. This is the latest of these times: when the
    operator first read the MLJob, when the MLJob was resumed, when its spec changed, when a retry
    was requested after its end, and when its ended run was cleared in Airflow. Absent while the
    MLJob is suspended.
    """
    submit_time: Time | None = None
    """When Airflow queued the run, to the microsecond. Clearing a run queues the run again, at a
    later time. Until Airflow's REST API has reported this time, submitTime is the time of the first
    event. If Airflow reports a later time after the attempt has ended, somebody has cleared the
    run, and another attempt starts.
    """
    start_time: Time | None = None
    """When Airflow started the run."""
    completion_time: Time | None = None
    """When the run ended: succeeded, failed or cancelled."""
    progress: str | None = None
    """The number of task instances that succeeded and of all task instances, such as 3/5. Skipped
    task instances count as succeeded, unless the run failed. For a backfill, the numbers of runs
    that succeeded and of all runs.
    """
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of the run has succeeded, in percent. Each task has the same share, which the
    instances of a mapped task divide. A running task counts with the progress that it reports. The
    percentage does not fall while the run goes on. For a backfill, the share of runs that
    succeeded.
    """
    current_task: str | None = None
    """The task that waits for a person. If no task waits for a person, the running task, or else
    the deferred task. Of several such tasks, the task that started last. For a failed MLJob, the
    task that failed first, if the run failed because of a task.
    """
    task_counts: TaskCounts | None = None
    """How many task instances are in each state. States without instances are left out."""
    tasks: list[TaskStatus] | None = None
    """The tasks of the run in the order in which they started, at most 100. If the run has more
    tasks, the list prefers failed tasks, then running and retrying tasks, and then the latest
    tasks.
    """
    tasks_omitted: Count | None = None
    """How many tasks are missing from the list tasks, because it is full. taskCounts counts all
    tasks."""
    outputs: dict[str, Any] | None = None
    """The outputs that the tasks published with mljob_airflow.publish_outputs, and the XComs of
    spec.outputs, at most 16 KiB. The outputs are stored before the condition Complete becomes True,
    with one exception: if the operator has not been able to read the outputs from Airflow 30
    seconds after the end of the run, it sets Complete to True without them.
    """
    outputs_omitted: list[str] | None = None
    """The names of outputs that are not in outputs. If all outputs together exceed 16 KiB, the
    largest outputs are omitted. If the run does not have the task of an output of spec.outputs, the
    entry says so. A task can't publish an output that is too large or not JSON, and the log of the
    task says which of the two is the case. If a name has the suffix (in an object store), Airflow's
    XCom backend keeps the value in an object store, and Airflow's REST API returns only the address
    of the value. If the entry begins with all outputs, none could be read, for example because the
    run was deleted in Airflow before. To get the outputs, run the MLJob again.
    """
    backfill: BackfillStatus | None = None
    """The runs of a backfill. Present with type Backfill."""
    history: list[AttemptStatus] | None = None
    """The last 10 attempts that have ended, oldest first. The current attempt is added when it
    ends, if another attempt follows.
    """
    last_event_time: Time | None = None
    """The time in Airflow of the newest change in this status."""
    status_source: StatusSource | None = None
    """How the operator learned of the newest change. Kafka: from an event. REST: from Airflow's
    REST API.
    """
    conditions: list[Condition] | None = None
    """The state of the MLJob for programs: Complete, Failed, Suspended, SpecApplied, UnknownParams,
    Reconciling and Stalled. For example: kubectl wait --for=condition=Complete mljob/digits-train
    --timeout=1h."""
