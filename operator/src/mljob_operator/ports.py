"""The ports: protocols that the controllers and sources use, and that ``adapters`` implements.

Methods raise only errors of :mod:`mljob_operator.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from mljob_contract.airflow_instance import InstanceHealth
from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ConfSource, OutputSource

from .core.airflow_instance.admission import Limits
from .core.airflow_instance.catalog import AirflowCatalog
from .core.airflow_instance.instance import Instance
from .core.conf.conf import Source
from .core.mljob.job import Job
from .core.run.backfill import Backfill, BackfillRequest, BackfillRun
from .core.run.children import Child
from .core.run.facts import Question, RunFact, TaskFact, TaskKey
from .core.run.halt import Halt
from .core.run.offsets import Partition
from .core.run.outputs import Outputs
from .core.run.run_key import Key
from .core.status.events import KubeEvent


class Clock(Protocol):
    """Gives the current time."""

    def __call__(self) -> datetime:
        """The current time in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run in a list of runs from Airflow.

    Attributes:
        note: The text of the run's note; None: the run has no note.
    """

    dag_id: str
    run_id: str
    fact: RunFact
    note: str | None = None


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task instance in Airflow's change feed."""

    dag_id: str
    run_id: str
    fact: TaskFact


@dataclass(frozen=True, slots=True)
class MemberChange:
    """A run in Airflow's change feed that belongs to a backfill of the operator's."""

    dag_id: str
    marker: Marker
    member: BackfillRun


class Backfills(Protocol):
    """Airflow's backfills. The marker in a backfill's conf says which MLJob the backfill belongs
    to.
    """

    async def create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Backfill:
        """Create a backfill, or adopt the backfill that has this marker.

        Raises:
            BackfillActive: Another backfill of this DAG is in progress.
            ValidationFailed: The DAG has no schedule, or Airflow refuses the range or the conf.
        """
        ...

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """The newest backfill whose marker has this run id; None: Airflow has no such backfill.

        Args:
            dag_id: The DAG.
            run_id: The run id in the marker.
            attempt: The attempt in the marker; None: any attempt.
        """
        ...

    async def survey(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """All runs of the backfill, and runs of earlier attempts whose markers have its run id."""
        ...

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """The number of runs in the backfill's range that the backfill did not create.

        Args:
            backfill: The backfill.
            members: The number of runs that the backfill has created.
        """
        ...

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """Stop or resume starting the backfill's runs; no change if Airflow has closed the
        backfill.
        """
        ...

    async def cancel(self, backfill_id: int) -> None:
        """Close the backfill: Airflow fails its queued runs, and its running runs continue.

        No change if the backfill is closed.
        """
        ...

    async def changed(self, since: datetime) -> list[MemberChange]:
        """Runs of the operator's backfills that changed at or after ``since`` (Airflow's clock)."""
        ...


class DagRuns(Protocol):
    """Airflow's dag runs.

    A result of None, or an empty result, means that Airflow itself answered so. The answer of a
    proxy or of another service raises AirflowUnavailable.
    """

    @property
    def backfills(self) -> Backfills:
        """The backfills of the same Airflow."""
        ...

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of the operator's, by its last answer, to one second."""
        ...

    async def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        """Trigger a run, or adopt the run that has this id.

        Raises:
            DagNotFound: The DAG does not exist (yet).
            DagImportError: Airflow can't import the DAG's file.
            SubmissionRefused: Airflow refuses the run whatever its conf.
            LogicalDateTaken: The DAG has another run of this logical date.
            ValidationFailed: The DAG's params refuse the conf.
        """
        ...

    async def params(self, dag_id: str) -> dict[str, Any]:
        """The DAG's params by name, each with its default ``value`` and its JSON ``schema``.

        Empty if Airflow does not know the DAG.
        """
        ...

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The conf of a run.

        Raises:
            ValidationFailed: The run does not exist any more.
        """
        ...

    async def clear_failed(
        self, dag_id: str, run_id: str, *, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        """Clear the failed tasks of an ended run, and the tasks that failed because of them.

        Airflow then runs these tasks again. None: Airflow has no such run.

        Args:
            dag_id: The DAG.
            run_id: The run.
            since: A run that was queued again at or after this time (Airflow's clock) is not
                cleared.
            latest_version: Whether the tasks run the latest version of the DAG's bundle; None: as
                Airflow's setting says.

        Raises:
            NothingToClear: The run has no failed task.
        """
        ...

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """A run; None: Airflow has no such run."""
        ...

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """All task instances of a run; empty if Airflow has no such run."""
        ...

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """The open questions of the run's tasks to people, by task.

        Empty if this version of Airflow has no such questions, or the operator may not read them.
        """
        ...

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """The outputs of a run, and the names of outputs that are too large to read.

        The outputs that the run's tasks published are merged with the XComs that ``sources`` name.
        """
        ...

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG for a run. Further calls don't trigger the DAG again.

        Raises:
            DagRefused: The cancellation DAG is missing, broken or paused.
        """
        ...

    async def cancellation_runs(self, run_id: str) -> bool:
        """Whether a task of the cancellation DAG's run for this run is executing."""
        ...

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Set the run's unfinished task instances to failed, then the run."""
        ...

    async def children(self, dag_id: str, run_id: str) -> list[Child]:
        """The active runs that tasks of this run, or of its children, claim to have started."""
        ...

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Change the run's note; no change if Airflow has no such run."""
        ...

    async def drop_cancellation(self, run_id: str) -> None:
        """End the cancellation DAG's run for this run if it is still queued.

        If the cancellation run started later, the run would have ended already.
        """
        ...

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """Runs with the operator's prefix that changed at or after ``since`` (Airflow's clock)."""
        ...

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """Task instances that changed at or after ``since`` (Airflow's clock).

        Only those of runs with the operator's prefix.
        """
        ...

    async def active_runs(self) -> list[RunChange]:
        """Runs with the operator's prefix that are queued or running."""
        ...

    async def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        """The reason why each DAG schedules no tasks, by DAG id; None: the DAG schedules tasks.

        DAGs that can't be read are left out.
        """
        ...

    async def paused_dags(self) -> set[str]:
        """The ids of the paused DAGs."""
        ...


@dataclass(frozen=True, slots=True)
class Pulse:
    """The version and the health of an Airflow."""

    version: str
    health: InstanceHealth


class Airflow(DagRuns, Protocol):
    """One Airflow: its dag runs, its version and its health."""

    @property
    def cancelling(self) -> DagRuns:
        """The dag runs for MLJobs that are being cancelled: these requests never wait for
        submissions.
        """
        ...

    async def probe(self) -> Pulse:
        """Check that Airflow answers and accepts the credentials; its version and health."""
        ...

    async def close(self) -> None:
        """Wait for the requests that are being sent."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """A user of an Airflow. An access rule may have credentials for a namespace and a DAG."""

    namespace: str
    dag_id: str


class Airflows(Protocol):
    """All Airflows, by name. ``SETTINGS_AIRFLOW`` names the Airflow of the operator's settings."""

    def dag_runs(self, name: str, user: User | None = None, *, cancelling: bool = False) -> DagRuns:
        """The dag runs of an Airflow. Callers must not keep them: address and credentials may
        change.

        Args:
            name: The Airflow's name.
            user: The user whose access rule decides about the credentials; None: the operator
                itself.
            cancelling: Whether the requests are for an MLJob that is being cancelled.

        Raises:
            AirflowInstanceNotFound: No AirflowInstance has this name.
            AirflowInstanceNotReady: The AirflowInstance can't be used.
            AirflowUnauthorized: The user's credentials can't be used.
        """
        ...

    def ui_url(self, name: str) -> str | None:
        """An Airflow's base URL for people; None: no Airflow has this name."""
        ...

    def limits(self, name: str) -> Limits:
        """The limits for active runs of MLJobs in an Airflow."""
        ...

    def catalog(self, namespace: str) -> AirflowCatalog:
        """The Airflows, access rules and logins for MLJobs in this namespace, without the
        admissions.
        """
        ...

    def doubt(self, name: str, user: User | None = None) -> None:
        """Check an Airflow soon, because it refused the user's credentials or did not answer."""
        ...


class InstanceStore(Protocol):
    """AirflowInstances in the Kubernetes API, with their Secrets, and the namespaces' labels."""

    async def list(self) -> list[Instance]:
        """All AirflowInstances."""
        ...

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """The labels of all namespaces, by their names."""
        ...

    async def secret(self, name: str) -> dict[str, str]:
        """The data of a Secret in the namespace for credentials.

        Raises:
            ReferenceMissing: The Secret does not exist, or the operator may not read it.
            SecretUnlabelled: The Secret lacks the label for Airflow's credentials.
        """
        ...

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """Patch the status of exactly this version; the new version.

        Raises:
            Conflict: The AirflowInstance has changed.
            Gone: The AirflowInstance does not exist any more.
        """
        ...

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Add or remove the operator's finalizer; other finalizers stay.

        The new version; None: the object was deleted with the finalizer.
        """
        ...

    async def record(self, instance: Instance, notice: KubeEvent) -> None:
        """Create a Kubernetes Event about an AirflowInstance."""
        ...


class JobStore(Protocol):
    """MLJobs in the Kubernetes API."""

    def list(self) -> AsyncIterator[Job]:
        """All watched MLJobs. An MLJob may come twice, or in a version that is not its latest."""
        ...

    async def get(self, key: Key) -> Job | None:
        """The latest version of an MLJob; None: it does not exist."""
        ...

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """Patch the status of exactly this version of the MLJob; the new version.

        Raises:
            Conflict: The MLJob has changed.
            Gone: The MLJob does not exist any more.
            Refused: The status is invalid.
        """
        ...

    async def set_finalizer(self, job: Job, *, present: bool) -> Job | None:
        """Add or remove the operator's finalizer; other finalizers stay.

        The new version; None: the object was deleted with the finalizer.
        """
        ...

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """The data of an object of ``spec.confFrom``; None: it is optional and does not exist.

        Raises:
            ReferenceMissing: The object does not exist, or the operator may not read it.
        """
        ...

    async def delete(self, job: Job) -> None:
        """Delete exactly this version of the MLJob.

        Raises:
            Conflict: The MLJob has changed.
        """
        ...

    async def record(self, job: Job, notice: KubeEvent) -> None:
        """Create a Kubernetes Event about an MLJob."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class ConfObject:
    """A ConfigMap or Secret that an MLJob names.

    Attributes:
        kind: ConfigMap or Secret.
    """

    namespace: str
    kind: str
    name: str

    @classmethod
    def of(cls, namespace: str, source: ConfSource) -> ConfObject:
        """The object that an entry of ``spec.confFrom`` names."""
        named = source.secret_ref or source.config_map_ref
        assert named is not None, "the CRD's rules ask for one of the two"
        return cls(namespace, "Secret" if source.secret_ref is not None else "ConfigMap", named.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class SourceChanges(Protocol):
    """Changes of ConfigMaps and Secrets."""

    def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        """Watch an object: one item each time the object appears, changes or is deleted.

        There is also an item if the object exists at first. The iterator may end at any time; the
        caller then watches again.

        Raises:
            StoreError: The Kubernetes API does not answer, or the operator may not watch the
                object.
        """
        ...


class OperatorStore(Protocol):
    """The operator's own Pod, or namespace, in the Kubernetes API."""

    async def record(self, notice: KubeEvent) -> None:
        """Create a Kubernetes Event about the operator, in its own namespace."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message.

    Attributes:
        offset: The message's offset in the partition.
        timestamp_ms: When the producer created the message or the broker stored it, in milliseconds
            since the epoch.
    """

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Link:
    """Whether the brokers of a topic are connected.

    Attributes:
        brokers: The configured brokers, for people.
        problem: The cause of a missing connection; None until the connection has been missing long
            enough to be reported.
    """

    connected: bool
    brokers: str
    problem: str | None = None


class EventSource(Protocol):
    """A topic, read by a member of a consumer group."""

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Start to read. Both callables are called in the event loop's thread."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit without waiting. A failure is logged; the next commit covers its offsets too."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Stop or resume fetching messages, without leaving the group."""
        ...

    def dead_letter(self, message: Message, why: str) -> None:
        """Send an unreadable message to the dead-letter topic, if one is set."""
        ...

    async def close(self) -> None:
        """Leave the group."""
        ...


class Meter(Protocol):
    """Counters and timings for Prometheus; see ``adapters/metrics.py`` for their names."""

    def event(self, outcome: str) -> None:
        """A Kafka message was read. The outcome is applied, foreign, tombstone or unreadable."""
        ...

    def events_disbelieved(self, number: int) -> None:
        """Airflow's REST API has contradicted this number of events."""
        ...

    def status_written(self, seconds: float) -> None:
        """A status was patched within this time."""
        ...

    def status_refused(self) -> None:
        """The Kubernetes API refused a status as invalid."""
        ...

    def event_latency(self, seconds: float) -> None:
        """The time from a message's timestamp to the stored status that holds the message's
        fact.
        """
        ...

    def airflow_request(self, airflow: str, operation: str, outcome: str, seconds: float) -> None:
        """A request to an Airflow has ended."""
        ...

    def job_finished(self, phase: str) -> None:
        """An MLJob has ended."""
        ...

    def resync(self, airflow: str, outcome: str) -> None:
        """A pass over an Airflow's change feed has ended."""
        ...

    def live(self, jobs: int) -> None:
        """The number of MLJobs that are not finished."""
        ...

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Whether an AirflowInstance is ready; None: it does not exist any more."""
        ...

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """The number of missing runs in an Airflow from which many runs vanished at once; 0:
        none.
        """
        ...

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """The number of the operator's active runs in an Airflow that no MLJob follows."""
        ...

    def places(self, airflow: str, active: int, waiting: int) -> None:
        """The numbers of MLJobs that have a run in an AirflowInstance, and that wait for
        admission.
        """
        ...

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Whether a topic's brokers are connected; None: the topic is not read any more."""
        ...

    def in_flight(self, messages: int) -> None:
        """The number of read messages whose status is not stored yet."""
        ...
