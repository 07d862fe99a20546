"""All that is known of one run: the fold.

Kafka is the edge, REST is the level. Events are ordered among themselves by identity (task id, map index), then try, then the
state's rank within the try, then the clock, so that doubled, late and reordered events end in the same ledger. REST is the truth, but
an answer can be older than an event that overtook it: within ``GRACE`` of an event, REST may move a task forward and not back. The
change feed overlaps by more than that, so what is held back is heard again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from mljob_contract.mljob import MLJobStatus, StatusSource, TaskStatus

from .facts import Failure, Report, RunFact, Snapshot, TaskFact, TaskKey
from .phases import FINISHED_TASK, RUN_RANK, TERMINAL_RUN, RunState, task_state

GRACE = timedelta(seconds=3)
"""How long an event stands against a REST answer that contradicts it. Airflow publishes a failure before it stores it, and a
request may have read the database before the event; both take well under a second."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_Timed = TypeVar("_Timed", Report, Failure)


@dataclass(frozen=True, slots=True)
class Ledger:
    """One run and its task instances. A value: every change makes a new one.

    Attributes:
        run: The run's state; None before it is submitted or seen.
        tasks: Task instances by task id and map index.
        listed: Whether all task instances were listed after the run had ended: there is nothing more to learn.
        complete: Whether the whole of the run's task instances is known, so that counts can be shown as totals.
        gone: Whether Airflow said that it has no such run.
    """

    run: RunFact | None = None
    tasks: Mapping[TaskKey, TaskFact] = field(default_factory=dict)
    listed: bool = False
    complete: bool = False
    gone: bool = False

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.run is not None and self.run.state in TERMINAL_RUN

    @property
    def settling(self) -> bool:
        """Whether every task that is known has ended but the run has not: its end is near and may come without an event."""
        return not self.over and bool(self.tasks) and all(t.shown_state in FINISHED_TASK for t in self.tasks.values())


def remember(status: MLJobStatus) -> Ledger:
    """What a stored status says of its run's tasks: where a process that starts anew begins.

    REST gives the states again, and more of them; what only events carried (reports, the text of a failure) is in the status alone. Of
    mapped tasks it has sums, from which nothing can be begun.
    """
    facts = (
        _remembered(task, status.last_event_time or _LONG_AGO) for task in status.tasks or () if task.mapped is None
    )
    return Ledger(tasks={fact.key: fact for fact in facts})


def _remembered(task: TaskStatus, at: datetime) -> TaskFact:
    number = task.try_number
    progress = Report(number, at, progress=task.progress / 100) if task.progress is not None else None
    return TaskFact(
        task_id=task.task_id,
        map_index=-1,
        try_number=number,
        state=task_state(task.state),
        source=StatusSource.REST,
        at=at,
        seen=_LONG_AGO,
        start=task.start_time,
        end=task.end_time,
        progress=progress,
        metrics=Report(number, at, metrics=task.metrics) if task.metrics else None,
        failure=Failure(number, at, task.error.message, task.error.type) if task.error else None,
    )


def fold(ledger: Ledger, facts: Iterable[TaskFact | RunFact]) -> Ledger:
    """Add events. The same ones again, or in another sequence, give the same ledger."""
    run = ledger.run
    tasks: dict[TaskKey, TaskFact] | None = None
    for fact in facts:
        if isinstance(fact, RunFact):
            run = _later_run(run, fact)
            continue
        run = _later_run(run, _started_by(fact))
        known = ledger.tasks if tasks is None else tasks
        old = known.get(fact.key)
        new = fact if old is None else _merge(old, fact)
        if new is not old:
            if tasks is None:
                tasks = dict(ledger.tasks)
            tasks[fact.key] = new
    if run is ledger.run and tasks is None:
        return ledger
    return replace(ledger, run=run, tasks=ledger.tasks if tasks is None else _without_placeholders(tasks))


def observe(ledger: Ledger, snapshot: Snapshot) -> Ledger:
    """Take in what REST says."""
    run = ledger.run
    if snapshot.run is not None:
        run = _later_run(run, snapshot.run)
    tasks = dict(ledger.tasks)
    for fact in snapshot.tasks:
        old = tasks.get(fact.key)
        tasks[fact.key] = fact if old is None else _settle(old, fact, final=snapshot.final)
    if snapshot.complete:
        present = {fact.key for fact in snapshot.tasks}
        tasks = {
            key: fact
            for key, fact in tasks.items()
            if key in present or (not snapshot.final and _stands(fact, snapshot.requested_at))
        }
    return replace(
        ledger,
        run=run,
        tasks=_without_placeholders(tasks),
        complete=ledger.complete or snapshot.complete,
        listed=ledger.listed or (snapshot.complete and snapshot.final),
        gone=False if snapshot.run is not None else ledger.gone,
    )


def _without_placeholders(tasks: dict[TaskKey, TaskFact]) -> dict[TaskKey, TaskFact]:
    """Before a mapped task is expanded it is one row with map index -1, which its instances replace."""
    for task_id in {task_id for task_id, index in tasks if index >= 0}:
        tasks.pop((task_id, -1), None)
    return tasks


def _later_run(old: RunFact | None, new: RunFact) -> RunFact:
    """The run's fact that counts: an ended run stays ended for this attempt. Times are kept from whoever knows them."""
    if old is None:
        return new
    base = new if RUN_RANK[new.state] > RUN_RANK[old.state] else old
    start, end, created = new.start or old.start, new.end or old.end, new.created or old.created
    if (base.start, base.end, base.created) == (start, end, created):
        return base
    return replace(base, start=start, end=end, created=created)


def _started_by(fact: TaskFact) -> RunFact:
    """A task that ran says that its run is running."""
    return RunFact(RunState.RUNNING, fact.source, fact.at, fact.seen)


def _merge(old: TaskFact, new: TaskFact) -> TaskFact:
    """Join two events on one task instance: the later state, with the latest report and failure of either."""
    winner = new if new.order > old.order else old
    starts = [fact.start for fact in (old, new) if fact.start and fact.try_number == winner.try_number]
    merged = replace(
        winner,
        max_tries=max((fact.max_tries for fact in (old, new) if fact.max_tries is not None), default=None),
        start=min(starts, default=None),
        progress=_latest(old.progress, new.progress),
        metrics=_latest(old.metrics, new.metrics),
        failure=_best_failure(old.failure, new.failure),
    )
    return old if merged == old else merged


def _settle(old: TaskFact, rest: TaskFact, *, final: bool) -> TaskFact:
    """Join what is known with REST's answer."""
    if old.source is StatusSource.REST:
        accepted = final or rest.seen >= old.seen
    else:
        ahead = (rest.try_number, rest.rank) >= (old.try_number, old.rank)
        accepted = final or ahead or not _stands(old, rest.seen)
    base = rest if accepted else old
    if accepted and (old.state, old.try_number, old.certain) == (rest.state, rest.try_number, rest.certain):
        # Nothing new: keep where the state was heard of first.
        base = replace(
            rest, source=old.source, at=old.at, seen=old.seen if old.source is StatusSource.KAFKA else rest.seen
        )
    return replace(
        base,
        max_tries=rest.max_tries if rest.max_tries is not None else old.max_tries,
        progress=old.progress,
        metrics=old.metrics,
        failure=_best_failure(old.failure, rest.failure),
    )


def _stands(fact: TaskFact, requested_at: datetime) -> bool:
    """Whether an event is so recent that a REST answer may have missed it."""
    return fact.source is StatusSource.KAFKA and fact.seen + GRACE > requested_at


def _latest(one: _Timed | None, other: _Timed | None) -> _Timed | None:
    if one is None or other is None:
        return one or other
    order_one, order_other = (one.try_number, one.at), (other.try_number, other.at)
    if order_one == order_other and one != other:
        # Of the same moment: any rule will do that gives the same in whatever sequence. It is rare, and its rule is slow.
        return max(one, other, key=repr)
    return other if order_other > order_one else one


def _best_failure(one: Failure | None, other: Failure | None) -> Failure | None:
    """The failure of the later try; of one try, the one that names its exception."""
    if one is None or other is None:
        return one or other
    order_one = (one.try_number, one.type is not None, one.at, one.message)
    order_other = (other.try_number, other.type is not None, other.at, other.message)
    return other if order_other > order_one else one
