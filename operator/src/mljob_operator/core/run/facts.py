"""What somebody says of a run or a task instance: an event on Kafka or an answer of Airflow's REST API, in one form.

Facts from both sources are folded by the same rules (:mod:`.observed run`); what differs between them is kept as data, so that the
rules can be read in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mljob_contract.mljob import StatusSource

from .states import RETRY_RANK, RUN_RANK, TASK_RANK, TERMINAL_RUN, RunState, TaskState

END_GRACE = timedelta(seconds=10)
"""How long an event that says more of a run than Airflow's REST API stands against REST's answers. Airflow publishes the end of a run a moment
before the end is in its database."""

TaskKey = tuple[str, int]
"""Task id and map index; -1 for a task that is not mapped."""
EventId = tuple[object, ...]
"""What tells one event of a run from another."""


@dataclass(frozen=True, slots=True)
class RunFact:
    """A dag run's state.

    Attributes:
        at: When it came about, on Airflow's clock; orders nothing, shown as the last event's time.
        seen: For REST, when the request was sent; for Kafka, when the event was read; the operator's clock.
        start: When the run started, where the source says so.
        end: When it ended, likewise.
        created: When it was queued, on Airflow's clock; its task instances are no older. Another time means that it was cleared.
    """

    state: RunState
    source: StatusSource
    at: datetime
    seen: datetime
    start: datetime | None = None
    end: datetime | None = None
    created: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state in TERMINAL_RUN

    @property
    def event_id(self) -> EventId:
        """What tells one event from another; a copy of an event has the same."""
        return "run", self.state, self.at


def later_run(old: RunFact | None, new: RunFact) -> RunFact:
    """The run's fact that counts: an ended run stays ended, unless it was queued again, and what is told late of before that says nothing. Times
    are kept from whoever knows them.
    """
    if old is None:
        return new
    known, queued = old.created, new.created
    if known is not None and _is_past(new, known, old.seen):
        return old
    ended = (old.end or old.at) if old.ended else None
    if ended is not None and queued is not None and queued_again(queued, known, ended):
        return new
    if ended is None and known is not None and queued is not None and queued > max(known, old.at):
        # It was cleared, and its end not heard of.
        return new
    base = new if RUN_RANK[new.state] > RUN_RANK[old.state] else old
    start, end, created = new.start or old.start, new.end or old.end, new.created or old.created
    if (base.start, base.end, base.created) == (start, end, created):
        return base
    return replace(base, start=start, end=end, created=created)


def heard_of_run(run: RunFact | None, heard: RunFact | None, event: RunFact) -> RunFact | None:
    """What events say of a run beyond REST's word on it, after one more event; the same in whatever sequence the events come.

    Args:
        run: REST's word.
        heard: What earlier events say beyond it.
        event: The next event.
    """
    latest = event if heard is None else max(heard, event, key=lambda fact: (RUN_RANK[fact.state], fact.at, fact.state))
    return latest if _says_more(latest, run) else None


def heard_after_answer(
    heard: RunFact | None, run: RunFact | None, answer: RunFact, asked_at: datetime
) -> RunFact | None:
    """What events still say beyond REST's word, now ``run``, after an ``answer`` of REST to a request of ``asked_at`` (operator's clock)."""
    if heard is None or not _says_more(heard, run) or denies(answer, heard, asked_at):
        return None
    return heard


def denies(answer: RunFact, heard: RunFact, asked_at: datetime) -> bool:
    """Whether REST contradicts an event when REST must have heard of what the event tells."""
    return RUN_RANK[answer.state] < RUN_RANK[heard.state] and asked_at >= heard.seen + END_GRACE


def _says_more(event: RunFact, run: RunFact | None) -> bool:
    """Whether an event tells of more than REST does: of a later state, and not of the time before the run was queued as REST says."""
    if run is None:
        return True
    return RUN_RANK[event.state] > RUN_RANK[run.state] and not (run.created is not None and event.at < run.created)


def _is_past(fact: RunFact, queued: datetime, seen: datetime) -> bool:
    """Whether it tells of the run before it was ``queued``, as was ``seen``: an answer to an earlier request."""
    return fact.created is not None and fact.created < queued and fact.seen < seen


def queued_again(at: datetime, queued: datetime | None, ended: datetime) -> bool:
    """Whether a run that was queued ``at`` was queued once more since it was ``queued`` (None: not known) and has ``ended``.

    Who queues a run and who ends it have clocks of their own, and a short one may seem to have ended before it was queued: so it must be later than
    the queuing that is known, to the microsecond. To clear a task of a run that goes on queues it anew as well, which is no second run: so it must
    not be before the end, in whole seconds, for a status has no finer time of an end.
    """
    if queued is None:
        return at > ended
    return at > queued and at.replace(microsecond=0) >= ended.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Report:
    """What a task said of itself while running: within one try, the latest report counts."""

    try_number: int
    at: datetime
    progress: float | None = None
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed."""

    try_number: int
    at: datetime
    message: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a task that awaits input asks; a subject of None: Airflow was asked, and does not tell."""

    try_number: int
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class TaskFact:
    """A task instance's state.

    Attributes:
        try_number: 1 for the first try; 0 before it.
        certain: False for a failure that may be followed by a retry: the official producer's event can't tell.
        at: When it came about, on Airflow's clock; orders events within one try and rank.
        seen: For REST, when the request was sent; for Kafka, when the event was read; the operator's clock.
        max_tries: How many retries the task has, where the source says so.
        question: What it asks, while it awaits input and once Airflow was asked for it.
        confirmed: Whether REST has said the same of the try and its state, where an event was the first to say so.
    """

    task_id: str
    map_index: int
    try_number: int
    state: TaskState
    source: StatusSource
    at: datetime
    seen: datetime
    certain: bool = True
    max_tries: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    progress: Report | None = None
    metrics: Report | None = None
    failure: Failure | None = None
    question: Question | None = None
    confirmed: bool = False

    @property
    def unconfirmed(self) -> bool:
        """Whether only an event says so."""
        return self.source is StatusSource.KAFKA and not self.confirmed

    @property
    def event_id(self) -> EventId:
        """What tells one event from another; a copy of an event has the same."""
        return "task", self.task_id, self.map_index, self.try_number, self.state, self.at

    @property
    def awaits_input(self) -> bool:
        """Whether it waits for a person."""
        return self.state is TaskState.AWAITING_INPUT

    @property
    def key(self) -> TaskKey:
        """Task id and map index."""
        return self.task_id, self.map_index

    @property
    def rank(self) -> int:
        """How far within its try: a failure that may be retried ranks with the retry."""
        return TASK_RANK[self.state] if self.certain else RETRY_RANK

    @property
    def order(self) -> tuple[int, int, bool, datetime, str]:
        """What makes one event count over another: a total order, so folding is the same in whatever sequence."""
        return self.try_number, self.rank, self.certain, self.at, self.state

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
        requested_at: When the request was sent, on the operator's clock: what is seen later may be newer than this.
        run: The run, where it was asked for.
        tasks: Task instances.
        complete: Whether ``tasks`` are all of the run's.
        final: Whether the run was over before its tasks were listed: then nothing can be newer.
    """

    requested_at: datetime
    run: RunFact | None = None
    tasks: tuple[TaskFact, ...] = field(default=())
    complete: bool = False
    final: bool = False
