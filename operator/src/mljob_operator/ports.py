"""What the reconciler, the status pipeline and the resync need of the world: protocols, implemented in ``adapters``.

Every method may raise from :mod:`mljob_operator.errors` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from .core.facts import RunFact, TaskFact
from .core.job import Job, Key
from .core.notices import Notice
from .core.offsets import Partition


class Clock(Protocol):
    """Now, with a time zone."""

    def __call__(self) -> datetime:
        """The time in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run in Airflow's change feed."""

    dag_id: str
    run_id: str
    fact: RunFact


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task instance in Airflow's change feed."""

    dag_id: str
    run_id: str
    fact: TaskFact


class DagRuns(Protocol):
    """Airflow's dag runs."""

    @property
    def clock_offset(self) -> timedelta:
        """How far Airflow's clock is ahead of ours, as its last answer said; to a second."""
        ...

    async def submit(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> RunFact:
        """Trigger a run, or adopt the one that has this id."""
        ...

    async def search(self, run_id: str) -> tuple[str, RunFact] | None:
        """Find a run by its id in any DAG; the DAG's id and the run, or None."""
        ...

    async def get(self, dag_id: str, run_id: str) -> RunFact | None:
        """A run; None when Airflow has no such run."""
        ...

    async def tasks(self, dag_id: str, run_id: str) -> list[TaskFact]:
        """All task instances of a run; none when Airflow has no such run."""
        ...

    async def outputs(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """What the run's tasks published as outputs, merged."""
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
        """Set the run's unfinished task instances failed, then the run, and drop a cancellation run that still waits."""
        ...

    async def changed_runs(self, since: datetime) -> list[RunChange]:
        """Runs with our prefix that changed at or after ``since`` (Airflow's clock)."""
        ...

    async def changed_tasks(self, since: datetime) -> list[TaskChange]:
        """Task instances of runs with our prefix that changed at or after ``since`` (Airflow's clock)."""
        ...

    async def active_runs(self) -> set[str]:
        """Ids of runs with our prefix that are queued or running."""
        ...

    async def paused_dags(self) -> set[str]:
        """Ids of DAGs that are paused."""
        ...


class JobStore(Protocol):
    """MLJobs in the Kubernetes API."""

    async def list(self) -> list[Job]:
        """All MLJobs that we watch."""
        ...

    async def get(self, key: Key) -> Job | None:
        """An MLJob as it is now."""
        ...

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        """Patch the status of exactly this version of the MLJob; the new version.

        Raises:
            Conflict: It has changed.
            Gone: It is not there any more.
        """
        ...

    async def set_finalizer(self, job: Job, *, present: bool) -> Job | None:
        """Add or take away our finalizer, and nobody else's; the new version, or None when the object went with it."""
        ...

    async def record(self, job: Job, notice: Notice) -> None:
        """Create a Kubernetes Event about an MLJob."""
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
        """A Kafka message was read: applied, foreign, unreadable."""
        ...

    def status_written(self, seconds: float) -> None:
        """A status was patched; how long the patch took."""
        ...

    def event_latency(self, seconds: float) -> None:
        """From a message's timestamp to the status that holds it."""
        ...

    def airflow_request(self, operation: str, outcome: str, seconds: float) -> None:
        """A request to Airflow has ended."""
        ...

    def job_finished(self, phase: str) -> None:
        """An MLJob has ended."""
        ...

    def resync(self, outcome: str) -> None:
        """A pass over the change feed has ended."""
        ...

    def live(self, jobs: int) -> None:
        """How many MLJobs are not finished."""
        ...

    def in_flight(self, messages: int) -> None:
        """How many messages are read and their status is not stored yet."""
        ...
