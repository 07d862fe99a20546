"""What is known of one MLJob, and what has arrived and waits for the next step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from ...core.mljob import attempts
from ...core.mljob.job import Job
from ...core.mljob.remembered import remember
from ...core.mljob.state import State
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import TransientState
from ...core.run.backfill import BackfillRun
from ...core.run.facts import EventId, RunFact, Snapshot, TaskFact
from ...core.run.halt import Halt
from ...core.run.observed_run import LONG_AGO, fold, observe
from ...core.run.run_key import RunKey
from ...core.run.states import TERMINAL_PHASES
from ...core.status.tasks import TaskEntries

Done = Callable[[], None]


@dataclass(slots=True)
class Inbox:
    """What has arrived for an MLJob since its last step.

    Attributes:
        facts: What events and a backfill's change feed said of runs, each with the runs that may be meant.
        snapshots: What Airflow's REST API said, each with its run.
        halts: What was seen of the run's DAG: why it schedules nothing, or that it does (None); empty: nothing was seen.
        doubt: Whether Airflow is to be asked for the run.
        anew: Whether something around the MLJob has changed, so that what failed may succeed now.
        again: Whether a request that was refused may be accepted now: it is sent before its time.
    """

    facts: list[tuple[Collection[RunKey], TaskFact | RunFact | BackfillRun]] = field(default_factory=list)
    snapshots: list[tuple[RunKey, Snapshot]] = field(default_factory=list)
    halts: tuple[Halt | None, ...] = ()
    doubt: bool = False
    anew: bool = False
    again: bool = False


@dataclass(slots=True)
class MLJobWorker:
    """One MLJob, and the step under way.

    Attributes:
        elsewhere: What is known to have been tried for an attempt that another process has begun; None: this process has begun it.
        known: What is known of the MLJob; None: it is not known, and is to be read.
        state: The state at the end of the last step; None: no step has ended since the MLJob was last learned of.
        inbox: What has arrived since the last step.
        entries: Entries of tasks that were made for the last status.
        disbelieved: Events that Airflow has contradicted, as far as they are counted.
        done: To be called when the facts in the inbox are stored.
        owed: The same, of facts that are folded and not stored yet.
        waiting: Whether there is a reason for another step.
        task: The steps under way.
        timer: For the next step that is due by itself.
        written_at: When the status was last written, in the event loop's seconds.
        refined_at: Since when the stored status is only less exact than what is known.
        failures: Steps in a row that failed.
        begun: How many times what is known began anew.
    """

    elsewhere: Callable[[Job], TransientState | None]
    known: TrackedJob | None = None
    state: State | None = None
    inbox: Inbox = field(default_factory=Inbox)
    entries: TaskEntries = field(default_factory=TaskEntries)
    disbelieved: frozenset[EventId] = frozenset()
    done: list[Done] = field(default_factory=list)
    owed: list[Done] = field(default_factory=list)
    waiting: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    written_at: float = float("-inf")
    refined_at: datetime | None = None
    failures: int = 0
    begun: int = 0

    @property
    def job(self) -> Job | None:
        """The MLJob as last read or written; None: not known."""
        return self.known.job if self.known is not None else None

    @property
    def finished(self) -> bool:
        """Whether the status has a terminal phase."""
        return self.known is not None and self.known.job.status.phase in TERMINAL_PHASES

    def last_state(self, classify: Callable[[TrackedJob], State]) -> State:
        """The state at the end of the last step; the state now, where something was learned since."""
        state, known = self.state, self.known
        assert known is not None
        if state is None or not (
            state.job is known.job and state.observed_run is known.observed_run and state.transient is known.transient
        ):
            state = self.state = classify(known)
        return state

    def begin(self, job: Job, transient: TransientState) -> None:
        """What is known from here on is of this MLJob; what has arrived and waits may be of it."""
        self.known = TrackedJob(job, remember(job.status), transient)
        self.state = None
        self.written_at = float("-inf")
        self.begun += 1

    def see(self, job: Job) -> None:
        """Take a later version. Where another process has begun an attempt in it, what is known here is of an earlier attempt."""
        assert self.known is not None
        same = attempts.current(job.status) == attempts.current(self.known.job.status)
        transient = None if same else self.elsewhere(job)
        if transient is None:
            self.known = replace(self.known, job=job)
        else:
            self.begin(job, transient)

    def learn(self, answer: Job | None, of: Job) -> bool:
        """Take the answer to a request about the version ``of``, None: the MLJob is gone; whether this worker is still about that MLJob.

        The watch may be faster than an answer. What the watch has told meanwhile counts: of a later version, of the end, or of another MLJob of that name.
        """
        known = self.job
        if known is None or known.uid != of.uid:
            return False
        if answer is None:
            self.known = None
        elif not answer.newer_than(known):
            pass
        elif answer.uid != of.uid:
            self.forget()
            self.begin(answer, TransientState())
        else:
            self.see(answer)
        return self.job is not None and self.job.uid == of.uid

    def keep(self, after: TrackedJob) -> TrackedJob:
        """Take what an advance has learned of the attempt; of the MLJob, the latest version that is known stands."""
        assert self.known is not None
        self.known = after if self.known.job is after.job else replace(after, job=self.known.job)
        return self.known

    def take_in(self, state: State) -> None:
        """Fold what has arrived. What is about another run, an older attempt's or a namesake's, changes nothing."""
        assert self.known is not None
        inbox, self.inbox = self.inbox, Inbox()
        self.owed += self.done
        self.done = []
        since = attempts.run_facts_since(state.current.status)
        observed_run, transient = self.known.observed_run, self.known.transient
        if observed_run.since != since:
            observed_run = replace(observed_run, since=since)
        observed_run = fold(observed_run, (fact for meant, fact in inbox.facts if state.run in meant))
        for meant, snapshot in inbox.snapshots:
            if meant == state.run:
                observed_run = observe(observed_run, snapshot)
        if inbox.halts:
            transient = replace(transient, halt=inbox.halts[-1])
        if inbox.doubt:
            transient = replace(transient, doubt=True)
        if inbox.anew:
            transient = replace(transient, last_error=None)
        if inbox.again and transient.last_error is not None:
            transient = replace(transient, last_error=replace(transient.last_error, retry_at=LONG_AGO))
        if observed_run is not self.known.observed_run or transient is not self.known.transient:
            self.known = replace(self.known, observed_run=observed_run, transient=transient)

    def start_over(self) -> None:
        """The status that was made of what is known can't be stored: the stored status stands, and Airflow is asked again."""
        assert self.known is not None
        job, transient = self.known.job, self.known.transient
        transient = replace(transient, doubt=True, refused=True, over_since=None)
        self.known = replace(self.known, observed_run=remember(job.status), transient=transient, outputs=None)
        self.refined_at = None
        self.acknowledge()

    def acknowledge(self) -> None:
        """What was folded is stored."""
        owed, self.owed = self.owed, []
        for done in owed:
            done()

    def forget(self) -> None:
        """Nobody is left who needs what has arrived."""
        self.owed += self.done
        self.done = []
        self.inbox.facts, self.inbox.snapshots = [], []
        self.acknowledge()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
