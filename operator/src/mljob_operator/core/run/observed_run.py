"""The observed run: everything that the operator knows of one run, from Kafka events and from
Airflow's REST API.

The REST API has the true state, and an event is only a hint. The status shows a state from an event
before the REST API confirms the state, but shows the end of the run only after the REST API has
reported the end. After an event, the operator may ask the REST API for the true state.

The events of a task instance are ordered by try, then by the rank of the state within the try, then
by Airflow's clock. So the result is the same if events arrive twice, late or in another order.

An answer of the REST API may be older than an event that the operator has read before. So within
``task_merging.GRACE`` after an event, an answer does not move a task back to an earlier state.
After an event that reports the end of a try, this time is ``task_merging.CONFIRMED_WITHIN``.

Most answers come from the change feed, which is the list of recent changes that the operator reads
every few seconds. The change feed lists a task only if Airflow has changed the task. So the change
feed possibly never contradicts a false event. If the REST API has not confirmed an event within
``CONFIRMED_WITHIN``, the operator lists all tasks of the run, and believes this list instead of the
event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta

from mljob_contract.mljob import StatusSource

from ..frozen import frozen
from .backfill import BackfillRun, BackfillSnapshot, ObservedBackfill, as_one_run, with_change, with_snapshot
from .facts import (
    EventId,
    Question,
    RunFact,
    Snapshot,
    TaskFact,
    TaskKey,
    denies,
    is_before_queuing,
    later_run,
    latest_report,
    report_after_answer,
)
from .states import FINISHED_TASK, RunState
from .task_merging import is_recent, merge_answer, merge_event

ABSENCE_CONFIRMED_AFTER = timedelta(seconds=3)
"""The minimum time between two answers in which Airflow says that it does not have the run. The run
counts as not found after the second answer.
"""
MAX_TASKS = 20_000
"""The maximum number of task instances of one run that events may add. Further task instances come
from the REST API only, so that a writer to the topic can't invent any number of tasks.
"""
MAX_DENIED = 100
"""The maximum number of contradicted events that are remembered for one run. The oldest events are
forgotten first.
"""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""The time that stands for the unknown time of a fact."""


@frozen
class ObservedRun:
    """One run and its task instances. The object is immutable.

    Attributes:
        run: The state of the run according to the REST API, or None if the REST API has not
            returned the run yet.
        reported: The event that reports a later state than ``run``, or None. The status may show
            this state, unless the state is the end of the run. The operator does not act on this
            state, except that it asks the REST API for the true state.
        tasks: The task instances by task id and map index.
        listed: Whether the operator has listed all task instances after the end of the run, or all
            runs of the backfill after the end of the backfill. Then another list would show nothing
            new.
        complete: Whether all task instances of the run are known. If False, the counts of task
            instances may be too low.
        missed_at: When the operator sent the first request that Airflow answered with "no such
            run", on the operator's clock. :func:`observe_absence` may replace this time by the time
            of a later request. None if Airflow has not answered yet, or if Airflow's last answer
            contained the run.
        not_found: Whether Airflow has answered "no such run" again, to a request that was sent at
            least ``ABSENCE_CONFIRMED_AFTER`` after ``missed_at``.
        denied: The ids of the newest ``MAX_DENIED`` events that the REST API has contradicted. For
            the runs of a backfill, ``observed_backfill`` has these ids.
        since: If the current attempt began because the run was cleared in Airflow: the time before
            which facts are about the previous attempt, which had the same run. Otherwise None.
        observed_backfill: The backfill and its runs, for an MLJob of type Backfill. ``run`` then
            stands for the whole backfill.
    """

    run: RunFact | None = None
    reported: RunFact | None = None
    tasks: Mapping[TaskKey, TaskFact] = field(default_factory=dict)
    listed: bool = False
    complete: bool = False
    missed_at: datetime | None = None
    not_found: bool = False
    denied: tuple[EventId, ...] = ()
    since: datetime | None = None
    observed_backfill: ObservedBackfill | None = None

    @property
    def over(self) -> bool:
        """Whether the run has ended according to the REST API."""
        return self.run is not None and self.run.ended

    @property
    def reported_end(self) -> RunFact | None:
        """The event that reports the end of the run before the REST API does, or None."""
        return self.reported if self.reported is not None and self.reported.ended else None

    @property
    def shown_run(self) -> RunFact | None:
        """The :class:`.RunFact` whose state the status shows. This is :attr:`reported` if this
        event exists and does not report the end of the run. Otherwise, this is :attr:`run`, which
        may be None.
        """
        return self.reported if self.reported is not None and not self.reported.ended else self.run

    @property
    def unconfirmed_since(self) -> datetime | None:
        """The earliest time at which the operator read an event that the REST API has not
        confirmed, on the operator's clock. None if there is no such event. An event about the end
        of the run does not count, because the operator asks Airflow about the end at once.
        """
        observed = [fact.observed_at for fact in self.tasks.values() if fact.unconfirmed]
        if self.reported is not None and self.reported_end is None:
            observed.append(self.reported.observed_at)
        if self.observed_backfill is not None:
            observed += [
                member.reported.observed_at
                for member in self.observed_backfill.members.values()
                if member.reported is not None
            ]
        return min(observed, default=None)

    @property
    def contradicted(self) -> frozenset[EventId]:
        """The ids of events that the REST API has contradicted: the ids in :attr:`denied` and, for
        a backfill, the ids that :attr:`observed_backfill` has for its runs.
        """
        members = self.observed_backfill.members.values() if self.observed_backfill is not None else ()
        return frozenset(self.denied) | {(member.run_id, *member.denied) for member in members if member.denied}

    @property
    def all_tasks_ended(self) -> bool:
        """Whether every known task has ended, but the run continues. False if the run has ended, or
        if no task is known.
        """
        return not self.over and bool(self.tasks) and all(t.shown_state in FINISHED_TASK for t in self.tasks.values())


def fold(observed_run: ObservedRun, facts: Iterable[TaskFact | RunFact | BackfillRun]) -> ObservedRun:
    """Add facts from events to an observed run, and return the new observed run. Facts about the
    runs of a backfill may also come from the REST API.

    Repeated facts, or the same facts in another order, give the same result. If
    ``observed_run.listed`` is True, an event changes no state of a task instance.
    """
    reported = observed_run.reported
    tasks: dict[TaskKey, TaskFact] | None = None
    observed_backfill = observed_run.observed_backfill
    for fact in facts:
        if isinstance(fact, BackfillRun):
            observed_backfill = with_change(observed_backfill, fact) if observed_backfill is not None else None
            continue
        if isinstance(fact, RunFact):
            reported = _report(observed_run, reported, fact)
            continue
        if fact.event_id in observed_run.denied:
            continue
        reported = _report(observed_run, reported, started_by(fact))
        known = observed_run.tasks if tasks is None else tasks
        old = known.get(fact.key)
        # After the last list, nobody would find out that the event is wrong. If the run was cleared,
        # its tasks are listed again.
        if old is None and (observed_run.listed or len(known) >= MAX_TASKS):
            continue
        past = observed_run.listed or _is_outdated_event(fact, observed_run.run)
        new = fact if old is None else merge_event(old, fact, past=past)
        if new is not old:
            if tasks is None:
                tasks = dict(observed_run.tasks)
            tasks[fact.key] = new
    if observed_backfill is not observed_run.observed_backfill and observed_backfill is not None:
        return _with_backfill(observed_run, observed_backfill)
    if reported is observed_run.reported and tasks is None:
        return observed_run
    return replace(
        observed_run, reported=reported, tasks=observed_run.tasks if tasks is None else _without_placeholders(tasks)
    )


def _report(observed_run: ObservedRun, reported: RunFact | None, event: RunFact) -> RunFact | None:
    past = observed_run.since is not None and _attempt_time(event) < observed_run.since
    return (
        reported if past or event.event_id in observed_run.denied else latest_report(observed_run.run, reported, event)
    )


def observe_backfill(observed_run: ObservedRun, snapshot: BackfillSnapshot) -> ObservedRun:
    """Add a snapshot of a backfill to an observed run, and return the new observed run."""
    observed_run = _with_backfill(observed_run, with_snapshot(observed_run.observed_backfill, snapshot))
    return replace(
        observed_run, complete=True, listed=observed_run.listed or snapshot.final, missed_at=None, not_found=False
    )


def _with_backfill(observed_run: ObservedRun, observed_backfill: ObservedBackfill) -> ObservedRun:
    run = as_one_run(observed_backfill)
    run = later_run(observed_run.run, run) if observed_run.over else run
    return replace(
        observed_run,
        observed_backfill=observed_backfill,
        run=run,
        reported=latest_report(run, None, as_one_run(observed_backfill.shown)),
    )


def observe(observed_run: ObservedRun, snapshot: Snapshot) -> ObservedRun:
    """Add an answer of the REST API about a run, its task instances or both to an observed run.
    Return the new observed run.
    """
    run, reported, answer = observed_run.run, observed_run.reported, snapshot.run
    contradicted: list[EventId] = []
    if answer is not None:
        run = _later_run(run, answer, observed_run.since)
        if reported is not None and denies(answer, reported, snapshot.requested_at):
            contradicted.append(reported.event_id)
        reported = report_after_answer(reported, run, answer, snapshot.requested_at)
    tasks = dict(observed_run.tasks)
    for fact in snapshot.tasks:
        old = tasks.get(fact.key)
        if old is None:
            tasks[fact.key] = fact
            continue
        past = _is_outdated_event(old, run)
        merged = tasks[fact.key] = merge_answer(old, fact, final=snapshot.final or past)
        if old.unconfirmed and not past and (merged.try_number, merged.rank) < (old.try_number, old.rank):
            contradicted.append(old.event_id)
    if snapshot.complete:
        listed = {fact.key for fact in snapshot.tasks}
        unlisted = {key: fact for key, fact in tasks.items() if key not in listed}
        for key, fact in unlisted.items():
            if snapshot.final or not is_recent(fact, snapshot.requested_at):
                del tasks[key]
                contradicted += [fact.event_id] if fact.unconfirmed else []
    return replace(
        observed_run,
        run=run,
        reported=reported,
        tasks=_without_placeholders(tasks),
        complete=observed_run.complete or snapshot.complete,
        listed=observed_run.listed or (snapshot.complete and snapshot.final),
        missed_at=observed_run.missed_at if answer is None else None,
        not_found=observed_run.not_found and answer is None,
        denied=(observed_run.denied + tuple(contradicted))[-MAX_DENIED:],
    )


def tells_nothing_new(after: ObservedRun, before: ObservedRun) -> bool:
    """Return whether two observed runs are equal, apart from ``observed_at`` of their task
    instances. ``before`` and ``after`` are the observed runs before and after a snapshot was added.
    """
    if len(after.tasks) != len(before.tasks) or replace(after, tasks=before.tasks) != before:
        return False
    return all((old := before.tasks.get(key)) is not None and _repeats(new, old) for key, new in after.tasks.items())


def _repeats(new: TaskFact, old: TaskFact) -> bool:
    return new is old or replace(new, observed_at=old.observed_at) == old


def observe_absence(observed_run: ObservedRun, asked_at: datetime, arrives_by: datetime | None) -> ObservedRun:
    """Add Airflow's answer "no such run" to an observed run, and return the new observed run.

    One such answer may be wrong. So the run counts as not found only when Airflow repeats the
    answer to a request that is sent at least ``ABSENCE_CONFIRMED_AFTER`` after the first request.

    Args:
        observed_run: What the operator knows of the run.
        asked_at: When Airflow was asked, on the operator's clock.
        arrives_by: The latest time at which a submission without an answer can reach Airflow. None
            if there is no such submission. Before this time, the answer "no such run" does not
            prove that the run will never exist. So the earliest request that is sent at or after
            this time replaces the first request.
    """
    first = observed_run.missed_at
    if first is None or (arrives_by is not None and first < arrives_by <= asked_at):
        first = asked_at
    return replace(observed_run, missed_at=first, not_found=asked_at >= first + ABSENCE_CONFIRMED_AFTER)


def has_unread_question(observed_run: ObservedRun) -> bool:
    """Return whether a task awaits input and the operator has not read the task's question yet."""
    return any(map(_awaits_question, observed_run.tasks.values()))


def _awaits_question(fact: TaskFact) -> bool:
    return fact.awaits_input and fact.details.question is None


def add_questions(observed_run: ObservedRun, questions: Mapping[TaskKey, Question]) -> ObservedRun:
    """Add questions to the tasks that await input and have no question yet, and return the new
    observed run. If ``questions`` lacks such a task, the task gets a question without a subject, so
    that the operator does not ask Airflow again.
    """
    tasks = dict(observed_run.tasks)
    for key, fact in observed_run.tasks.items():
        if _awaits_question(fact):
            question = questions.get(key) or Question(fact.try_number)
            tasks[key] = replace(fact, details=replace(fact.details, question=question))
    return replace(observed_run, tasks=tasks)


def _without_placeholders(tasks: dict[TaskKey, TaskFact]) -> dict[TaskKey, TaskFact]:
    """Remove the placeholders of expanded mapped tasks. A placeholder is the task instance with map
    index -1 that Airflow has for a mapped task before the task is expanded.
    """
    for task_id in {task_id for task_id, index in tasks if index >= 0}:
        tasks.pop((task_id, -1), None)
    return tasks


def _later_run(old: RunFact | None, new: RunFact, since: datetime | None) -> RunFact | None:
    compared = old is not None and old.queued_at is not None and new.queued_at is not None
    return old if since is not None and not compared and _attempt_time(new) < since else later_run(old, new)


def precedes_attempt(observed_run: ObservedRun, fact: RunFact) -> bool:
    """Return whether ``fact`` is about the time before :attr:`ObservedRun.since`, and
    ``observed_run.run`` is None. If both are true, :func:`observe` ignores ``fact``.
    """
    return _later_run(observed_run.run, fact, observed_run.since) is None


def _attempt_time(fact: RunFact) -> datetime:
    if fact.queued_at is not None:
        return fact.queued_at
    return (fact.end or fact.occurred_at) if fact.ended else fact.occurred_at


def started_by(fact: TaskFact) -> RunFact:
    """Convert an event about a task into an event which says that the task's run is running."""
    return RunFact(RunState.RUNNING, fact.source, fact.occurred_at, fact.observed_at)


def _is_outdated_event(fact: TaskFact, run: RunFact | None) -> bool:
    return fact.source is StatusSource.KAFKA and run is not None and is_before_queuing(fact, run)
