"""What is read from Airflow, as far as monitoring needs it. Times have a zone, durations are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Row = TypeVar("Row")

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """Rows, and whether they are all that there are."""

    rows: Sequence[Row] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG as Airflow lists it. ``schedule`` is Airflow's summary of it; ``None`` when only runs that are asked for run."""

    dag_id: str
    owners: tuple[str, ...] = ()
    is_paused: bool = False
    is_stale: bool = False
    schedule: str | None = None
    bundle: str | None = None
    file: str | None = None
    max_active_runs: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A DAG file that can't be imported; ``text`` is the traceback."""

    file: str
    bundle: str | None
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that has not begun, and since when it could have."""

    dag_id: str
    run_id: str
    since: datetime


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """A task instance; its dates are those of its last try."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    state: str | None = None
    try_number: int = 1
    start: datetime | None = None
    end: datetime | None = None
    duration: float | None = None
    scheduled: datetime | None = None
    """When its dependencies were met: from here on it waits for a slot."""
    queued: datetime | None = None
    """When it had a slot: from here on it waits for a worker."""
    pool: str = "default_pool"
    pool_slots: int = 1

    @property
    def slot_wait(self) -> float | None:
        """Seconds from ready to run until it had a slot in its pool, its DAG and the executor."""
        return _between(self.scheduled, self.queued)

    @property
    def worker_wait(self) -> float | None:
        """Seconds from having a slot until a worker began."""
        return _between(self.queued, self.start)

    @property
    def wait(self) -> float | None:
        """Seconds from ready to run until it ran; ``None`` where Airflow has overwritten one of the dates, as after a deferral."""
        return _between(self.scheduled or self.queued, self.start)


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool; ``slots`` is -1 when it is unlimited."""

    name: str
    slots: int


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    if begin is None or end is None or end < begin:
        return None
    return (end - begin).total_seconds()
