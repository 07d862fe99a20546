"""An index of the unfinished MLJobs for the readers of the change feeds. A change feed is an
Airflow's list of recent changes. A reader requests the list every few seconds.

The index is updated when an MLJob changes, so the readers need not search all MLJobs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from ...core.frozen import frozen
from ...core.mljob.activity import expects_change, has_recent_event, is_in_progress, is_still, last_event_at
from ...core.mljob.classification.state import State
from ...core.run.halt import Halt
from ...core.run.run_key import Key, RunKey


@frozen
class _Entry:
    """The entry of an MLJob that has an attempt.

    Attributes:
        run: The run or backfill of the attempt.
        active: Whether the attempt has or had a run in Airflow, and the stored status does not show
            yet that the attempt is over.
        is_backfill: Whether ``run`` is a backfill.
        over: Whether ``run`` has ended.
        unread: Whether the operator does not know all tasks of the run yet. For a backfill, whether
            the operator does not know yet that Airflow has created the attempt's runs.
        missed: Whether Airflow's last answer was that the run does not exist.
        hot: Whether ``run`` is likely to change soon without a Kafka event
            (:func:`.expects_change`).
        last_event_at: When the last Kafka event of a run in the backfill was read. None if there
            was no such event, or if ``run`` is not a backfill.
        needs_halt_check: Whether the change feed's reader must check for this MLJob whether the
            run's DAG schedules tasks.
        still: Whether no known task of the run is in an active state, such as running or deferred.
        halt: The last observed reason why the run's DAG schedules no tasks. None if the DAG
            schedules tasks.
    """

    run: RunKey
    active: bool
    is_backfill: bool
    over: bool
    unread: bool
    missed: bool
    hot: bool
    last_event_at: datetime | None
    needs_halt_check: bool
    still: bool
    halt: Halt | None

    @classmethod
    def of(cls, state: State) -> _Entry:
        observed_run, halt = state.observed_run, state.transient.halt
        backfill, is_backfill = observed_run.observed_backfill, state.job.is_backfill
        return cls(
            run=state.run,
            active=state.current.active,
            is_backfill=is_backfill,
            over=observed_run.over,
            unread=(backfill is None or not backfill.created) if is_backfill else not observed_run.complete,
            missed=observed_run.missed_at is not None,
            hot=expects_change(state),
            last_event_at=last_event_at(state),
            needs_halt_check=is_in_progress(state) or halt is not None,
            still=is_still(state),
            halt=halt,
        )


@dataclass(slots=True)
class JobsOfDag:
    """The MLJobs that have a run of one DAG, and whose workers must know whether the DAG schedules
    tasks. The reader of the change feed checks the DAG, and tells the workers.

    Attributes:
        by_halt: The MLJobs by halt. A halt is the last observed reason why the DAG schedules no
            tasks, or None if the DAG schedules tasks.
        moving: The MLJobs whose run has a task in an active state, such as running or deferred.
    """

    by_halt: defaultdict[Halt | None, set[Key]] = field(default_factory=lambda: defaultdict(set))
    moving: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class FollowedRuns:
    """The runs of the MLJobs that have an attempt in one Airflow. An attempt is active if it has or
    had a run, and the MLJob's status does not show yet that the attempt is over.

    Attributes:
        runs: The run or backfill of each MLJob.
        submitted: The run of each MLJob with an active attempt, without backfills.
        backfills: The MLJob of each backfill with an active attempt.
        in_progress: The run or backfill of each MLJob with an active attempt, without runs and
            backfills that have ended.
        unread: The MLJobs with an active attempt whose run or backfill is not completely known: the
            operator does not know all tasks of the run yet, or does not know yet that Airflow has
            created the backfill's runs for the attempt.
        missed: The MLJobs whose run does not exist, according to Airflow's last answer.
        hot: The MLJobs whose run is likely to change soon without a Kafka event
            (:func:`.expects_change`).
        events: For each MLJob with an active attempt of a backfill, when the last Kafka event about
            a run of the backfill was read. :meth:`is_hot` may remove times that are at least 3
            seconds old.
        dags: By DAG id, the MLJobs whose workers are told whether the DAG schedules tasks.
    """

    runs: dict[Key, RunKey] = field(default_factory=dict)
    submitted: dict[Key, RunKey] = field(default_factory=dict)
    backfills: dict[RunKey, Key] = field(default_factory=dict)
    in_progress: dict[Key, RunKey] = field(default_factory=dict)
    unread: set[Key] = field(default_factory=set)
    missed: set[Key] = field(default_factory=set)
    hot: set[Key] = field(default_factory=set)
    events: dict[Key, datetime] = field(default_factory=dict)
    dags: dict[str, JobsOfDag] = field(default_factory=dict)

    def is_hot(self, now: datetime) -> bool:
        """Return whether at least one of these statements is true:

        - At least one run is likely to change soon without a Kafka event (:func:`.expects_change`).
        - A Kafka event about a run of a backfill was read less than 3 seconds before ``now``.
        """
        if self.hot:
            return True
        for key in [key for key, at in self.events.items() if not has_recent_event(at, now)]:
            del self.events[key]
        return bool(self.events)

    def differing(self, dag_id: str, halt: Halt | None, unless: Halt | None = None) -> list[Key]:
        """Return the MLJobs whose last observed halt of this DAG is neither ``halt`` nor
        ``unless``. A halt is the reason why the DAG schedules no tasks, or None if the DAG
        schedules tasks. If ``unless`` is None, only ``halt`` is compared.
        """
        if (dag := self.dags.get(dag_id)) is None:
            return []
        skipped = {halt, unless or halt}
        return sorted(key for before, keys in dag.by_halt.items() if before not in skipped for key in keys)

    def add(self, key: Key, entry: _Entry) -> None:
        """Add an MLJob to each attribute whose condition the MLJob's entry meets."""
        run = self.runs[key] = entry.run
        if entry.active:
            if entry.is_backfill:
                self.backfills[run] = key
            else:
                self.submitted[key] = run
            if not entry.over:
                self.in_progress[key] = run
            if entry.unread:
                self.unread.add(key)
            if entry.last_event_at is not None:
                self.events[key] = entry.last_event_at
        if entry.missed:
            self.missed.add(key)
        if entry.hot:
            self.hot.add(key)
        if entry.needs_halt_check:
            dag = self.dags.setdefault(run.dag_id, JobsOfDag())
            dag.by_halt[entry.halt].add(key)
            if not entry.still:
                dag.moving.add(key)

    def remove(self, key: Key, entry: _Entry) -> None:
        """Remove an MLJob from all attributes. ``entry`` must be the entry that was added."""
        self.runs.pop(key, None)
        self.submitted.pop(key, None)
        self.backfills.pop(entry.run, None)
        self.in_progress.pop(key, None)
        self.events.pop(key, None)
        for keys in (self.unread, self.missed, self.hot):
            keys.discard(key)
        if (dag := self.dags.get(entry.run.dag_id)) is None or not entry.needs_halt_check:
            return
        dag.by_halt[entry.halt].discard(key)
        if not dag.by_halt[entry.halt]:
            del dag.by_halt[entry.halt]
        dag.moving.discard(key)
        if not dag.by_halt:
            del self.dags[entry.run.dag_id]


class FeedIndex:
    """The unfinished MLJobs of all Airflows, for the readers of the change feeds."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry | None] = {}
        self._airflows: defaultdict[str, FollowedRuns] = defaultdict(FollowedRuns)

    def __len__(self) -> int:
        """Return the number of unfinished MLJobs."""
        return len(self._entries)

    def of(self, airflow: str) -> FollowedRuns:
        """Return the part of the index for one Airflow. Later updates of the index change the
        returned object.
        """
        return self._airflows[airflow]

    def update(self, state: State) -> None:
        """Add an unfinished MLJob, or replace its entry."""
        key = state.job.key
        entry = _Entry.of(state) if state.current.attempt is not None else None
        before = self._entries.get(key)
        if before is not None and entry == before:
            return
        self.remove(key)
        self._entries[key] = entry
        if entry is not None:
            self._airflows[entry.run.airflow].add(key, entry)

    def remove(self, key: Key) -> None:
        """Remove an MLJob that is finished or deleted."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._airflows[entry.run.airflow].remove(key, entry)
