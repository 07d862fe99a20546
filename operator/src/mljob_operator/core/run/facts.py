"""A fact is a statement about a run or a task instance. It comes from a Kafka event, from an answer
of Airflow's REST API or, after a restart, from a stored status. :mod:`.observed_run` combines
facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta

from mljob_contract.mljob import StatusSource

from ..frozen import frozen
from .states import RETRY_RANK, RUN_RANK, TASK_RANK, TERMINAL_RUN, RunState, TaskState

END_GRACE = timedelta(seconds=10)
"""How long an event is believed although the REST API returns an earlier state of the run. Airflow
publishes the end of a run a moment before it stores the end in its database.
"""

TaskKey = tuple[str, int]
"""Task id and map index. The map index is -1 for a task that is not mapped."""
EventId = tuple[object, ...]
"""The identity of an event about a run or a task. Copies of an event have the same identity."""


@frozen
class RunFact:
    """The state of a dag run according to an event, the REST API or a stored status.

    Attributes:
        occurred_at: In an event: when the run entered the state, on Airflow's clock. In an answer
            of the REST API: the same as ``observed_at``. In a stored status:
            ``status.lastEventTime``.
        observed_at: When the operator sent the REST request or read the Kafka event, on the
            operator's clock. For a stored status: ``datetime.min``, because the time is unknown.
        start: When the run started, or None if the source does not contain this time.
        end: When the run ended, or None if the source does not contain this time.
        queued_at: When the run was last queued, on Airflow's clock, or None if the source does not
            contain this time. Airflow changes this time when the run, or a task of the run, is
            cleared.
    """

    state: RunState
    source: StatusSource
    occurred_at: datetime
    observed_at: datetime
    start: datetime | None = None
    end: datetime | None = None
    queued_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state in TERMINAL_RUN

    @property
    def event_id(self) -> EventId:
        """The identity of the event among the events of the run. Copies of an event have the same
        identity.
        """
        return "run", self.state, self.occurred_at


def later_run(old: RunFact | None, new: RunFact) -> RunFact:
    """Combine two facts about a run. Return the fact whose state comes later in a run (queued,
    running, ended), or ``old`` if neither state comes later. In the result, each of ``start``,
    ``end`` and ``queued_at`` comes from ``new``, or from ``old`` if ``new`` lacks this time. If
    ``old`` is None, return ``new``.

    If the run was cleared between the two facts, return the fact from after the clearing unchanged.
    If the run was not cleared, a run that has ended stays ended.
    """
    if old is None:
        return new
    queued_before, queued_now = old.queued_at, new.queued_at
    if queued_before is not None and _is_outdated(new, queued_before, old.observed_at):
        return old
    ended = (old.end or old.occurred_at) if old.ended else None
    if ended is not None and queued_now is not None and queued_again(queued_now, queued_before, ended):
        return new
    if (
        ended is None
        and queued_before is not None
        and queued_now is not None
        and queued_now > max(queued_before, old.occurred_at)
    ):
        # The run was cleared after an end that no fact reported.
        return new
    base = new if RUN_RANK[new.state] > RUN_RANK[old.state] else old
    start, end, queued_at = new.start or old.start, new.end or old.end, new.queued_at or old.queued_at
    if (base.start, base.end, base.queued_at) == (start, end, queued_at):
        return base
    return replace(base, start=start, end=end, queued_at=queued_at)


def latest_report(run: RunFact | None, reported: RunFact | None, event: RunFact) -> RunFact | None:
    """Choose from ``reported`` and ``event`` the event whose state comes later in a run (queued,
    running, ended). Return this event. Return None if the state of ``run`` comes as late or later,
    or if the run was cleared since the chosen event. The order in which events arrive does not
    matter.

    Args:
        run: The run according to the REST API, or None if the REST API has not returned the run
            yet.
        reported: The event with the latest state so far, or None.
        event: Another event.
    """
    latest = event if reported is None else max(reported, event, key=_run_order)
    return latest if _is_later(latest, run) else None


def _run_order(fact: RunFact) -> tuple[int, datetime, str]:
    return RUN_RANK[fact.state], fact.occurred_at, fact.state


def report_after_answer(
    reported: RunFact | None, run: RunFact | None, answer: RunFact, asked_at: datetime
) -> RunFact | None:
    """Return the event ``reported`` if its state is still later than the state of ``run``. Return
    None if the state is not later, if ``answer`` contradicts the event (:func:`denies`), or if the
    run was cleared since the event.

    Args:
        reported: The event with the latest state before the answer, or None.
        run: The run according to the REST API, including the new answer.
        answer: The new answer alone.
        asked_at: When the request was sent, on the operator's clock.
    """
    if reported is None or not _is_later(reported, run) or denies(answer, reported, asked_at):
        return None
    return reported


def denies(answer: RunFact, reported: RunFact, asked_at: datetime) -> bool:
    """Return whether an answer of the REST API contradicts an event: the answer has an earlier
    state, although the request was sent at least ``END_GRACE`` (10 seconds) after the operator read
    the event.
    """
    return RUN_RANK[answer.state] < RUN_RANK[reported.state] and asked_at >= reported.observed_at + END_GRACE


def _is_later(event: RunFact, run: RunFact | None) -> bool:
    if run is None:
        return True
    return RUN_RANK[event.state] > RUN_RANK[run.state] and not is_before_queuing(event, run)


def is_before_queuing(event: RunFact | TaskFact, run: RunFact) -> bool:
    """Return whether an event happened before the run was last queued. If so, the run, or a task of
    the run, was cleared after the event.
    """
    return run.queued_at is not None and event.occurred_at < run.queued_at


def _is_outdated(fact: RunFact, queued_at: datetime, observed_at: datetime) -> bool:
    return fact.queued_at is not None and fact.queued_at < queued_at and fact.observed_at < observed_at


def queued_again(at: datetime, queued: datetime | None, ended: datetime) -> bool:
    """Return whether Airflow has queued a run again after the run ended.

    A later queue time alone does not prove this, because clearing a task of a run in progress also
    changes the queue time. So ``at`` must be later than ``queued``, and must not be before
    ``ended``. ``at`` and ``ended`` are compared in whole seconds, because a status stores the end
    in whole seconds.

    Args:
        at: When the run was queued, according to the newer fact.
        queued: When the run was queued, according to the older fact. If None, the result
            is whether ``at`` is later than ``ended``.
        ended: When the run ended, according to the older fact.
    """
    if queued is None:
        return at > ended
    # Comparing with ``ended`` alone is not enough. The clocks of Airflow's processes differ, so a short
    # run may seem to have ended before it was queued.
    return at > queued and at.replace(microsecond=0) >= ended.replace(microsecond=0)


@frozen
class Report:
    """The progress (0 to 1) or the metrics that a task sends while it runs."""

    try_number: int
    occurred_at: datetime
    progress: float | None = None
    metrics: Mapping[str, float] | None = None


@frozen
class Failure:
    """The error with which a try of a task failed."""

    try_number: int
    occurred_at: datetime
    message: str
    type: str | None = None


@frozen
class Question:
    """A question of a task to a person. ``subject`` is None if Airflow returned no subject."""

    try_number: int
    subject: str | None = None


@frozen
class Details:
    """What the operator knows about a task instance in addition to its state.

    Attributes:
        progress: The latest report with the progress of the task.
        metrics: The latest report with metrics.
        failure: The error of the last try that failed.
        question: The question that the task asks while it awaits input. None if the task does not
            await input, or if the operator has not read the question yet.
    """

    progress: Report | None = None
    metrics: Report | None = None
    failure: Failure | None = None
    question: Question | None = None


NO_DETAILS = Details()


@frozen
class TaskFact:
    """The state of a task instance according to an event, the REST API or a stored status.

    Attributes:
        try_number: The number of the current try, from 1; 0 before the first try.
        certain: False for a failure according to an event of Airflow's own producer,
            ``kafka_event_producer``. Such an event does not show whether a retry follows. True for
            all other facts.
        occurred_at: In an event: when the task instance entered the state, on Airflow's clock. In a
            progress report: the time of the report. In an answer of the REST API: the same as
            ``observed_at``. In a stored status: ``status.lastEventTime``.
        observed_at: When the operator sent the REST request or read the Kafka event, on the
            operator's clock. For a stored status: ``datetime.min``, because the time is unknown.
        max_tries: A failed try may be retried if the try's number is at most ``max_tries``. None
            if the source does not contain ``max_tries``. Airflow raises ``max_tries`` when the task
            is cleared.
        confirmed: Whether the REST API has confirmed the state that an event had reported. Also
            true if the fact comes from a stored status.
    """

    task_id: str
    map_index: int
    try_number: int
    state: TaskState
    source: StatusSource
    occurred_at: datetime
    observed_at: datetime
    certain: bool = True
    max_tries: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    details: Details = NO_DETAILS
    confirmed: bool = False

    @property
    def unconfirmed(self) -> bool:
        """Whether only an event reports this state."""
        return self.source is StatusSource.KAFKA and not self.confirmed

    @property
    def event_id(self) -> EventId:
        """The identity of the event among the events of the run. Copies of an event have the same
        identity.
        """
        return "task", self.task_id, self.map_index, self.try_number, self.state, self.occurred_at

    @property
    def awaits_input(self) -> bool:
        """Whether the task waits for a person's answer."""
        return self.state is TaskState.AWAITING_INPUT

    @property
    def key(self) -> TaskKey:
        """Task id and map index."""
        return self.task_id, self.map_index

    @property
    def rank(self) -> int:
        """How far the task instance is within its try. A failure that is not ``certain`` has the
        rank of up_for_retry.
        """
        return TASK_RANK[self.state] if self.certain else RETRY_RANK

    @property
    def order(self) -> tuple[int, int, bool, datetime, str]:
        """The sort key of events of a task instance. The operator believes the event with the
        greatest key, in whatever order the events arrive.
        """
        return self.try_number, self.rank, self.certain, self.occurred_at, self.state

    @property
    def shown_state(self) -> TaskState:
        """The state that the status shows. A failure that is not ``certain`` is shown as
        up_for_retry if ``max_tries`` allows another try.
        """
        if not self.certain and self.max_tries is not None and self.try_number <= self.max_tries:
            return TaskState.UP_FOR_RETRY
        return self.state


@frozen
class Snapshot:
    """A run, its task instances, or both, in Airflow's REST API at one time.

    Attributes:
        requested_at: When the request was sent, on the operator's clock.
        run: The run, or None if the request was not about the run.
        tasks: Task instances of the run.
        complete: Whether ``tasks`` has all task instances of the run.
        final: Whether the run has ended, and the operator need not list its tasks again. If so, the
            states in ``tasks`` replace all earlier states of these tasks.
    """

    requested_at: datetime
    run: RunFact | None = None
    tasks: tuple[TaskFact, ...] = field(default=())
    complete: bool = False
    final: bool = False

    def merged_with(self, earlier: Snapshot) -> Snapshot | None:
        """If this snapshot differs from an earlier snapshot only in the times at which the run and
        its task instances were observed, return one snapshot for both: this snapshot with the run
        of the earlier snapshot, and with ``occurred_at`` of the earlier task instances. Otherwise,
        return None.
        """
        if (self.complete, self.final, len(self.tasks)) != (earlier.complete, earlier.final, len(earlier.tasks)):
            return None
        if (self.run is None) is not (earlier.run is None):
            return None
        if (old_run := earlier.run) is not None and self.run is not None:
            run = replace(self.run, occurred_at=old_run.occurred_at, observed_at=old_run.observed_at)
            if run != old_run:
                return None
        tasks = []
        for new, old in zip(self.tasks, earlier.tasks, strict=True):
            task = replace(new, occurred_at=old.occurred_at)
            if replace(task, observed_at=old.observed_at) != old:
                return None
            tasks.append(task)
        return replace(self, run=earlier.run, tasks=tuple(tasks))
