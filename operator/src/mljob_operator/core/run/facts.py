"""Facts: what an event on Kafka or an answer of Airflow's REST API says of a run or a task
instance.

Facts from both sources have the same form and are folded by the same rules
(:mod:`.observed_run`). A fact records its source, so that all rules are in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mljob_contract.mljob import StatusSource

from .states import RETRY_RANK, RUN_RANK, TASK_RANK, TERMINAL_RUN, RunState, TaskState

END_GRACE = timedelta(seconds=10)
"""How long an event of a later run state is believed although REST answers with an earlier state.
Airflow publishes the end of a run a moment before it stores the end in its database.
"""

TaskKey = tuple[str, int]
"""Task id and map index; -1 for a task that is not mapped."""
EventId = tuple[object, ...]
"""What tells one event of a run from another."""


@dataclass(frozen=True, slots=True)
class RunFact:
    """A dag run's state.

    Attributes:
        occurred_at: When the run entered the state, on Airflow's clock. The status shows it as the
            time of the last event; nothing is ordered by it.
        observed_at: When the REST request was sent, or when the Kafka event was read; on the
            operator's clock.
        start: When the run started; None: the source does not say.
        end: When the run ended; None: the source does not say.
        queued_at: When the run was queued, on Airflow's clock. Its task instances are no older. A
            different time means that the run was cleared.
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
        """What tells one event from another; a copy of an event has the same."""
        return "run", self.state, self.occurred_at


def later_run(old: RunFact | None, new: RunFact) -> RunFact:
    """The fact that counts of two facts about a run, with the times of both.

    A run that has ended stays ended unless Airflow has queued it again. A fact from before the run
    was queued again changes nothing.
    """
    if old is None:
        return new
    known, queued = old.queued_at, new.queued_at
    if known is not None and _is_past(new, known, old.observed_at):
        return old
    ended = (old.end or old.occurred_at) if old.ended else None
    if ended is not None and queued is not None and queued_again(queued, known, ended):
        return new
    if ended is None and known is not None and queued is not None and queued > max(known, old.occurred_at):
        # The run was cleared, and no fact told of its end.
        return new
    base = new if RUN_RANK[new.state] > RUN_RANK[old.state] else old
    start, end, queued_at = new.start or old.start, new.end or old.end, new.queued_at or old.queued_at
    if (base.start, base.end, base.queued_at) == (start, end, queued_at):
        return base
    return replace(base, start=start, end=end, queued_at=queued_at)


def heard_of_run(run: RunFact | None, heard: RunFact | None, event: RunFact) -> RunFact | None:
    """What events say of a run beyond REST's answer, after one more event. The order of events does
    not matter.

    Args:
        run: What REST says.
        heard: The earlier event that says more than ``run``.
        event: The next event.

    Returns:
        The event that says more than ``run``; None: no event does.
    """
    latest = event if heard is None else max(heard, event, key=_run_order)
    return latest if _says_more(latest, run) else None


def _run_order(fact: RunFact) -> tuple[int, datetime, str]:
    return RUN_RANK[fact.state], fact.occurred_at, fact.state


def heard_after_answer(
    heard: RunFact | None, run: RunFact | None, answer: RunFact, asked_at: datetime
) -> RunFact | None:
    """What events still say of a run beyond REST's answer, after another answer.

    Args:
        heard: The event that said more than REST before the answer.
        run: What REST says, with the answer.
        answer: The answer.
        asked_at: When the request was sent, on the operator's clock.
    """
    if heard is None or not _says_more(heard, run) or denies(answer, heard, asked_at):
        return None
    return heard


def denies(answer: RunFact, heard: RunFact, asked_at: datetime) -> bool:
    """Whether REST contradicts an event although enough time has passed for Airflow to store what
    the event says (``END_GRACE``).
    """
    return RUN_RANK[answer.state] < RUN_RANK[heard.state] and asked_at >= heard.observed_at + END_GRACE


def _says_more(event: RunFact, run: RunFact | None) -> bool:
    """Whether an event tells of a later state than REST does, and is not from before the run was
    queued.
    """
    if run is None:
        return True
    return RUN_RANK[event.state] > RUN_RANK[run.state] and not is_before_queuing(event, run)


def is_before_queuing(event: RunFact | TaskFact, run: RunFact) -> bool:
    """Whether an event is from before the run was last queued: somebody has cleared the run since."""
    return run.queued_at is not None and event.occurred_at < run.queued_at


def _is_past(fact: RunFact, queued: datetime, seen: datetime) -> bool:
    """Whether a fact is about the run before it was queued at ``queued``, which was seen at
    ``seen``: the fact answers an earlier request.
    """
    return fact.queued_at is not None and fact.queued_at < queued and fact.observed_at < seen


def queued_again(at: datetime, queued: datetime | None, ended: datetime) -> bool:
    """Whether Airflow has queued a run again since the run ended.

    The process that queues a run and the process that ends it have different clocks, so a short run
    may seem to have ended before it was queued. Therefore ``at`` must be later than ``queued``, to
    the microsecond. Clearing a task of a run in progress queues the run as well, and that is no
    second run. Therefore ``at`` must not be before ``ended``, in whole seconds, because a status
    stores the end in whole seconds.

    Args:
        at: When the run was queued, as the newer fact says.
        queued: When the run was queued, as was known before; None: not known.
        ended: When the run ended, as was known before.
    """
    if queued is None:
        return at > ended
    return at > queued and at.replace(microsecond=0) >= ended.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Report:
    """Progress (0 to 1) or metrics that a task reports while it runs. Within one try, the latest
    report counts.
    """

    try_number: int
    occurred_at: datetime
    progress: float | None = None
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed."""

    try_number: int
    occurred_at: datetime
    message: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a task that awaits input asks a person. ``subject`` is None where Airflow was asked and
    gave no subject.
    """

    try_number: int
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a task instance beside its state.

    Attributes:
        progress: The latest report with the task's progress.
        metrics: The latest report with metrics.
        failure: Why its last failed try failed.
        question: What the task asks while it awaits input; None: Airflow was not asked yet.
    """

    progress: Report | None = None
    metrics: Report | None = None
    failure: Failure | None = None
    question: Question | None = None


NO_DETAILS = Details()


@dataclass(frozen=True, slots=True)
class TaskFact:
    """A task instance's state.

    Attributes:
        try_number: 1 for the first try; 0 before it.
        certain: False for a failure that a retry may follow: the event of Airflow's own producer
            does not say whether there will be one.
        occurred_at: When the task instance entered the state, on Airflow's clock. It orders events
            of the same try and rank.
        observed_at: When the REST request was sent, or when the Kafka event was read; on the
            operator's clock.
        max_tries: How many retries the task has; None: the source does not say.
        confirmed: Whether REST has confirmed the try and the state that an event reported first.
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
        """Whether only an event tells of this state, without REST's confirmation."""
        return self.source is StatusSource.KAFKA and not self.confirmed

    @property
    def event_id(self) -> EventId:
        """What tells one event from another; a copy of an event has the same."""
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
        """How far the task instance is within its try. A failure that may be retried has the rank
        of the retry.
        """
        return TASK_RANK[self.state] if self.certain else RETRY_RANK

    @property
    def order(self) -> tuple[int, int, bool, datetime, str]:
        """The sort key of events: the greatest counts. The order is total, so that folding gives
        the same result in any sequence.
        """
        return self.try_number, self.rank, self.certain, self.occurred_at, self.state

    @property
    def shown_state(self) -> TaskState:
        """The state for people: an uncertain failure with tries left will most likely be retried."""
        if not self.certain and self.max_tries is not None and self.try_number <= self.max_tries:
            return TaskState.UP_FOR_RETRY
        return self.state


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What Airflow's REST API says of one run at one time.

    Attributes:
        requested_at: When the request was sent, on the operator's clock. Facts that are seen later
            may be newer than the snapshot.
        run: The run; None: the request was not for the run.
        tasks: Task instances.
        complete: Whether ``tasks`` has all task instances of the run.
        final: Whether the run had ended before its tasks were listed, so that no fact can be newer.
    """

    requested_at: datetime
    run: RunFact | None = None
    tasks: tuple[TaskFact, ...] = field(default=())
    complete: bool = False
    final: bool = False
