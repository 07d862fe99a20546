"""The data that monitoring reads from Airflow. Times have a time zone, and durations are in
seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """The rows of a list in Airflow, such as the list of all DAGs. Monitoring reads a list only up
    to a maximum number of rows. If the list has more rows, ``complete`` is False.
    """

    rows: Sequence[Row] = ()
    complete: bool = True
    """Whether the rows are the whole list. ``False`` means that the list has more rows."""


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG. ``schedule`` is Airflow's summary of the schedule, or ``None`` without a schedule."""

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
    """A DAG file that Airflow can't import."""

    file: str
    bundle: str | None
    failed_at: datetime
    traceback: str


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A dag run in the state queued."""

    dag_id: str
    run_id: str
    since: datetime
    """The time at which the run was queued, or the run's ``run_after`` if Airflow has not recorded
    this time.
    """
    is_backfill: bool = False
    """Whether the run is part of a backfill."""


@dataclass(frozen=True, slots=True)
class RunningRuns:
    """The numbers of a DAG's running runs. A backfill has its own limit of running runs, and does
    not count towards the DAG's ``max_active_runs``.
    """

    backfill: int = 0
    """The number of running runs that are part of a backfill."""
    other: int = 0
    """The number of all other running runs."""


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """A task instance. All dates belong to the last try."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    state: str | None = None
    try_number: int = 1
    """The number of the last try, or 0 if the task instance has not started."""
    start: datetime | None = None
    end: datetime | None = None
    duration: float | None = None
    scheduled: datetime | None = None
    """The time at which the task's dependencies were met. From then on the task waits for a
    slot."""
    queued: datetime | None = None
    """The time at which the task got a slot. From then on the task waits for a worker."""
    pool: str = "default_pool"
    pool_slots: int = 1
    is_cancelled: bool = False
    """Whether a cancellation has set the last try to failed."""

    @property
    def slot_wait(self) -> float | None:
        """The seconds from :attr:`scheduled` to :attr:`queued`. In this time the task waited for
        free slots in its pool, its DAG (``max_active_tasks``) and the executor (``parallelism``).

        ``None`` if one of these two dates is missing, or if the result would be negative. Airflow
        overwrites dates, for example after a deferral.
        """
        return _between(self.scheduled, self.queued)

    @property
    def worker_wait(self) -> float | None:
        """The seconds from :attr:`queued` to :attr:`start`. In this time the task had its slots, and
        waited for a worker.

        ``None`` if one of these two dates is missing, or if the result would be negative. Airflow
        overwrites dates, for example after a deferral.
        """
        return _between(self.queued, self.start)

    @property
    def wait(self) -> float | None:
        """The seconds from :attr:`scheduled` to :attr:`start`. If :attr:`scheduled` is missing, the
        seconds from :attr:`queued` to :attr:`start`.

        ``None`` if :attr:`start` is missing, if :attr:`scheduled` and :attr:`queued` are both
        missing, or if the result would be negative. Airflow overwrites dates, for example after a
        deferral.
        """
        return _between(self.scheduled or self.queued, self.start)


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset. ``producers`` are the ids of the DAGs that update the asset. ``consumers`` are the
    ids of the DAGs that the asset triggers.
    """

    producers: frozenset[str] = frozenset()
    consumers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool. ``slots`` is -1 for an unlimited pool."""

    name: str
    slots: int


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    if begin is None or end is None or end < begin:
        return None
    return (end - begin).total_seconds()
