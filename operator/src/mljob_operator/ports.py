"""What the reconciler, the status pipeline and the resync need of the world: protocols, implemented in ``adapters``.

Every method may raise from :mod:`mljob_operator.errors` and nothing else.
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
    """Now, with a time zone."""

    def __call__(self) -> datetime:
        """The time in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run in a list of Airflow's.

    Attributes:
        note: What the run's note says; None: the run has none.
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
    """A run of one of our backfills in Airflow's change feed."""

    dag_id: str
    marker: Marker
    member: BackfillRun


class Backfills(Protocol):
    """Airflow's backfills. Whose one is, is told by the marker in its conf."""

    async def create(self, dag_id: str, marker: Marker, order: BackfillRequest) -> Backfill:
        """Make a backfill, or adopt the one that has this marker.

        Raises:
            BackfillActive: Another backfill of this DAG is in progress.
            ValidationFailed: The DAG has no schedule, or the range or the conf is refused.
        """
        ...

    async def find(self, dag_id: str, run_id: str, attempt: int | None = None) -> Backfill | None:
        """The newest backfill with this id in its marker, of this attempt or of any; None when Airflow has no such backfill."""
        ...

    async def survey(self, backfill: Backfill) -> tuple[BackfillRun, ...]:
        """All of its runs, and those of earlier attempts that have the same id in their markers."""
        ...

    async def not_created(self, backfill: Backfill, members: int) -> int:
        """How many other runs of its range there are, where ``members`` are its own."""
        ...

    async def pause(self, backfill_id: int, *, paused: bool) -> None:
        """Let no other run of it start, or let them start again; no change for one that Airflow has closed."""
        ...

    async def cancel(self, backfill_id: int) -> None:
        """Close it: its queued runs are failed, those in progress go on; no change for one that is closed."""
        ...

    async def changed(self, since: datetime) -> list[MemberChange]:
        """Runs of our backfills that changed at or after ``since`` (Airflow's clock)."""
        ...


class DagRuns(Protocol):
    """Airflow's dag runs. None, and an empty answer, mean that Airflow itself said so: an answer of anybody else is an AirflowUnavailable."""

    @property
    def backfills(self) -> Backfills:
        """The backfills of the same Airflow."""
        ...

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of ours, as its last answer said; to a second."""
        ...

    async def submit(
        self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, logical_date: datetime | None = None
    ) -> RunFact:
        """Trigger a run, or adopt the one that has this id.

        Raises:
            DagNotFound: There is no such DAG, yet.
            DagImportError: The DAG's file does not import.
            SubmissionRefused: Airflow takes no such run.
            LogicalDateTaken: The DAG has another run of this logical date.
            ValidationFailed: The DAG's params refuse the conf.
        """
        ...

    async def params(self, dag_id: str) -> dict[str, Any]:
        """The DAG's params by name, each with its default ``value`` and its JSON ``schema``; none for an unknown DAG."""
        ...

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The conf that a run has.

        Raises:
            ValidationFailed: There is no such run any more.
        """
        ...

    async def clear_failed(
        self, dag_id: str, run_id: str, *, since: datetime | None, latest_version: bool | None = None
    ) -> RunFact | None:
        """Have the failed tasks of an ended run run again, and those that failed with them; a run that was queued again at or after
        ``since`` (Airflow's clock) is left as it is. None when Airflow has no such run. ``latest_version``: whether they run the latest version of
        the DAG's bundle; None: as Airflow is set.

        Raises:
            NothingToClear: The run has no failed task.
        """
        ...

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """A run; None when Airflow has no such run."""
        ...

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """All task instances of a run; none when Airflow has no such run."""
        ...

    async def questions(self, dag_id: str, run_id: str) -> dict[TaskKey, Question]:
        """What the run's tasks ask of people and have no answer to; nothing where Airflow doesn't tell, or not us."""
        ...

    async def outputs(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """What the run's tasks published as outputs, and the XComs that ``sources`` name, merged; and the names of what is too large to read."""
        ...

    async def trigger_cancellation(self, dag_id: str, run_id: str, reason: str) -> None:
        """Trigger the cancellation DAG for a run; once, however often it is called.

        Raises:
            DagRefused: That DAG is missing, broken or paused.
        """
        ...

    async def cancellation_runs(self, run_id: str) -> bool:
        """Whether a task of the cancellation DAG's run for this run is at it."""
        ...

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Set the run's unfinished task instances failed, then the run."""
        ...

    async def children(self, dag_id: str, run_id: str) -> list[Child]:
        """Runs that tasks of this run, and of its children, claim to have started, and that have not ended."""
        ...

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Change the run's note; no change where Airflow has no such run."""
        ...

    async def drop_cancellation(self, run_id: str) -> None:
        """End the cancellation DAG's run for this run where it still waits: started later, it would find the run over."""
        ...

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """Runs with our prefix that changed at or after ``since`` (Airflow's clock)."""
        ...

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """Task instances of runs with our prefix that changed at or after ``since`` (Airflow's clock)."""
        ...

    async def active_runs(self) -> list[RunChange]:
        """Runs with our prefix that are queued or running."""
        ...

    async def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        """Why each of these DAGs schedules nothing; None: it does. A DAG that can't be read is not there."""
        ...

    async def paused_dags(self) -> set[str]:
        """Ids of DAGs that are paused."""
        ...


@dataclass(frozen=True, slots=True)
class Pulse:
    """How an Airflow is."""

    version: str
    health: InstanceHealth


class Airflow(DagRuns, Protocol):
    """One Airflow: its dag runs, and how it is."""

    @property
    def cancelling(self) -> DagRuns:
        """The same dag runs for MLJobs that are being cancelled, which wait behind nobody's submission."""
        ...

    async def probe(self) -> Pulse:
        """Whether it answers, and lets us in; how its parts are."""
        ...

    async def close(self) -> None:
        """Let requests under way end."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """Who uses an Airflow: access rules give some namespaces credentials of their own for some DAGs."""

    namespace: str
    dag_id: str


class Airflows(Protocol):
    """All Airflows that MLJobs may run in, by name; ``SETTINGS_AIRFLOW`` is that of the operator's settings."""

    def dag_runs(self, name: str, user: User | None = None, *, cancelling: bool = False) -> DagRuns:
        """An Airflow's dag runs, to be asked for anew each time: its address and credentials may change.

        Args:
            name: The Airflow's name.
            user: For whom it is asked, which decides with which credentials; None: for the operator itself.
            cancelling: They are for an MLJob that is being cancelled.

        Raises:
            AirflowInstanceNotFound: There is none of that name.
            AirflowInstanceNotReady: It can't be used.
            AirflowUnauthorized: The user's credentials can't be used.
        """
        ...

    def ui_url(self, name: str) -> str | None:
        """Its base URL for people; None: there is none of that name."""
        ...

    def limits(self, name: str) -> Limits:
        """How many runs of MLJobs may be active in it."""
        ...

    def catalog(self, namespace: str) -> AirflowCatalog:
        """What there is around an MLJob in this namespace, but for who has which place."""
        ...

    def doubt(self, name: str, user: User | None = None) -> None:
        """It refused the credentials that are for this user, or did not answer: look after it before its time."""
        ...


class InstanceStore(Protocol):
    """AirflowInstances in the Kubernetes API, and what belongs to them."""

    async def list(self) -> list[Instance]:
        """All AirflowInstances."""
        ...

    async def namespaces(self) -> dict[str, dict[str, str]]:
        """The labels of all namespaces, by their names."""
        ...

    async def secret(self, name: str) -> dict[str, str]:
        """A Secret's data, from the namespace where credentials are.

        Raises:
            ReferenceMissing: It is not there, or may not be read.
            SecretUnlabelled: It lacks the label of Secrets that are for Airflow.
        """
        ...

    async def write_status(self, instance: Instance, patch: Mapping[str, Any]) -> Instance:
        """Patch the status of exactly this version; the new version.

        Raises:
            Conflict: It has changed.
            Gone: It is not there any more.
        """
        ...

    async def set_finalizer(self, instance: Instance, *, present: bool) -> Instance | None:
        """Add or take away our finalizer, and nobody else's; the new version, or None when the object went with it."""
        ...

    async def record(self, instance: Instance, notice: KubeEvent) -> None:
        """Create a Kubernetes Event about an AirflowInstance."""
        ...


class JobStore(Protocol):
    """MLJobs in the Kubernetes API."""

    def list(self) -> AsyncIterator[Job]:
        """All MLJobs that we watch; one may come twice, or in a version that is not its latest."""
        ...

    async def get(self, key: Key) -> Job | None:
        """An MLJob as it is now."""
        ...

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """Patch the status of exactly this version of the MLJob; the new version.

        Raises:
            Conflict: It has changed.
            Gone: It is not there any more.
            Refused: The status is invalid.
        """
        ...

    async def set_finalizer(self, job: Job, *, present: bool) -> Job | None:
        """Add or take away our finalizer, and nobody else's; the new version, or None when the object went with it."""
        ...

    async def source(self, namespace: str, reference: ConfSource) -> Source | None:
        """What a reference of ``spec.confFrom`` points to; None where it is optional and not there.

        Raises:
            ReferenceMissing: It is not there, or may not be read.
        """
        ...

    async def delete(self, job: Job) -> None:
        """Delete exactly this version of the MLJob.

        Raises:
            Conflict: It has changed.
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
        """What an entry of ``spec.confFrom`` names."""
        named = source.secret_ref or source.config_map_ref
        assert named is not None, "the CRD's rules ask for one of the two"
        return cls(namespace, "Secret" if source.secret_ref is not None else "ConfigMap", named.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class SourceChanges(Protocol):
    """Changes of ConfigMaps and Secrets."""

    def of(self, reference: ConfObject) -> AsyncGenerator[None]:
        """One item if the object is there at first, and one each time it appears, changes or goes. May end at any time, to be asked for again.

        Raises:
            StoreError: The Kubernetes API can't be asked, or the operator may not watch the object.
        """
        ...


class OperatorStore(Protocol):
    """The operator itself in the Kubernetes API."""

    async def record(self, notice: KubeEvent) -> None:
        """Create a Kubernetes Event about the operator, in its own namespace."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message.

    Attributes:
        offset: Its place in the partition.
        timestamp_ms: Milliseconds since the epoch: when the producer made it, or the broker stored it.
    """

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Link:
    """Whether the brokers that a topic is on are connected.

    Attributes:
        brokers: As they are configured, for people.
        problem: Why not, once that has lasted for long enough to be told to people.
    """

    connected: bool
    brokers: str
    problem: str | None = None


class EventSource(Protocol):
    """The topic, read as one member of a consumer group."""

    def start(
        self, deliver: Callable[[Sequence[Message]], None], revoked: Callable[[Sequence[Partition]], None]
    ) -> None:
        """Begin to read. Both callables are called in the event loop's thread."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit without waiting; a failure is logged, and made good by the next commit."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Stop fetching while too much is under way, without leaving the group."""
        ...

    def dead_letter(self, message: Message, why: str) -> None:
        """Send a message that can't be read to the dead-letter topic, where one is set."""
        ...

    async def close(self) -> None:
        """Leave the group."""
        ...


class Meter(Protocol):
    """Counters and timings for Prometheus; see ``adapters/metrics.py`` for their names."""

    def event(self, outcome: str) -> None:
        """A Kafka message was read: applied, foreign, tombstone, unreadable."""
        ...

    def events_disbelieved(self, number: int) -> None:
        """Airflow's REST API has contradicted so many events."""
        ...

    def status_written(self, seconds: float) -> None:
        """A status was patched; how long the patch took."""
        ...

    def status_refused(self) -> None:
        """The Kubernetes API refused a status as invalid."""
        ...

    def event_latency(self, seconds: float) -> None:
        """From a message's timestamp to the status that holds it."""
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
        """How many MLJobs are not finished."""
        ...

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        """Whether an AirflowInstance is ready; None: it is not there any more."""
        ...

    def runs_vanished(self, airflow: str, runs: int) -> None:
        """So many runs are missing in an Airflow from which many have vanished at once; 0: they have not."""
        ...

    def orphaned_runs(self, airflow: str, runs: int) -> None:
        """So many runs of ours go on in an Airflow, and no MLJob follows them."""
        ...

    def places(self, airflow: str, active: int, waiting: int) -> None:
        """How many MLJobs have a run in an AirflowInstance, and how many wait for a place."""
        ...

    def kafka_connected(self, topic: str, connected: bool | None) -> None:
        """Whether the brokers that a topic is read from are connected; None: it is not read any more."""
        ...

    def in_flight(self, messages: int) -> None:
        """How many messages are read and their status is not stored yet."""
        ...
