"""What is known of one MLJob, and what has arrived of it and waits for the next step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from .core import attempts
from .core.backfill import Member
from .core.effort import Effort
from .core.facts import EventId, RunFact, Snapshot, TaskFact
from .core.halt import Halt
from .core.job import Job
from .core.ledger import LONG_AGO, Ledger, fold, observe, remember
from .core.mljob.state import State
from .core.run_key import RunKey
from .core.status.outputs import Outputs

Done = Callable[[], None]


@dataclass(slots=True)
class Slot:
    """What is known of one MLJob, what has arrived, and the step under way.

    Attributes:
        elsewhere: What is known to have been tried for an attempt that another process has begun; None: this process has.
        job: Its latest version; None: not known, it is to be read.
        ledger: What is known of its run.
        effort: What was tried for it.
        outputs: What its run left, where that was read.
        facts: What was said of runs one by one, by events and of backfills, each with the runs that may be meant.
        snapshots: What REST said, each with the run.
        disbelieved: Events that Airflow has contradicted, as far as they are counted.
        done: To be called when the facts that came with them are stored.
        owed: The same, of facts that are folded.
        halts: What was seen of the run's DAG since the last step: why it schedules nothing, or that it does (None); empty: it was not looked at.
        doubt: Whether the run is to be asked for.
        anew: Whether something around it has changed, so that what stood in its way may not any more.
        again: Whether what was refused may be accepted now: it is tried before its time.
        waiting: Whether there is a reason for another step.
        task: The step under way.
        timer: For the next one that is due by itself.
        written_at: When its status was last written, in the event loop's seconds.
        refined_at: Since when the stored status is only less exact than what is known.
        failures: Steps in a row that failed.
        begun: How many times what is known began anew.
    """

    elsewhere: Callable[[Job], Effort | None]
    job: Job | None = None
    ledger: Ledger = field(default_factory=Ledger)
    effort: Effort = field(default_factory=Effort)
    outputs: Outputs | None = None
    facts: list[tuple[Collection[RunKey], TaskFact | RunFact | Member]] = field(default_factory=list)
    snapshots: list[tuple[RunKey, Snapshot]] = field(default_factory=list)
    disbelieved: frozenset[EventId] = frozenset()
    done: list[Done] = field(default_factory=list)
    owed: list[Done] = field(default_factory=list)
    halts: tuple[Halt | None, ...] = ()
    doubt: bool = False
    anew: bool = False
    again: bool = False
    waiting: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    written_at: float = float("-inf")
    refined_at: datetime | None = None
    failures: int = 0
    begun: int = 0

    def begin(self, job: Job, effort: Effort) -> None:
        """What is known from here on is of this MLJob; what has arrived and waits may be of it."""
        self.job, self.ledger, self.effort, self.outputs = job, remember(job.status), effort, None
        self.written_at = float("-inf")
        self.begun += 1

    def see(self, job: Job) -> None:
        """A later version. Where another process has begun an attempt in it, what is known here is of an earlier one."""
        assert self.job is not None
        same = attempts.current(job.status) == attempts.current(self.job.status)
        effort = None if same else self.elsewhere(job)
        if effort is None:
            self.job = job
        else:
            self.begin(job, effort)

    def learn(self, answer: Job | None, of: Job) -> bool:
        """What a request about the version ``of`` brought, None: it is gone; whether the slot is still of this MLJob.

        The watch may be faster than an answer. What it has told meanwhile counts: of a later version, of the end, or of another MLJob of that name.
        """
        known = self.job
        if known is None or known.uid != of.uid:
            return False
        if answer is None:
            self.job = None
        elif not answer.newer_than(known):
            pass
        elif answer.uid != of.uid:
            self.forget()
            self.begin(answer, Effort())
        else:
            self.see(answer)
        return self.job is not None and self.job.uid == of.uid

    def take_in(self, state: State) -> None:
        """Fold what has arrived. What is about another run, an older attempt's or a namesake's, changes nothing."""
        run = state.run
        facts, self.facts = self.facts, []
        self.owed += self.done
        self.done = []
        snapshots, self.snapshots = self.snapshots, []
        self.ledger = fold(
            replace(self.ledger, since=attempts.run_facts_since(state.current.status)),
            (fact for meant, fact in facts if run in meant),
        )
        for meant, snapshot in snapshots:
            if meant == run:
                self.ledger = observe(self.ledger, snapshot)
        if self.halts:
            self.effort = replace(self.effort, halt=self.halts[-1])
            self.halts = ()
        if self.doubt:
            self.effort = replace(self.effort, doubt=True)
            self.doubt = False
        if self.anew:
            self.effort = replace(self.effort, trouble=None)
            self.anew = False
        if self.again:
            if (trouble := self.effort.trouble) is not None:
                self.effort = replace(self.effort, trouble=replace(trouble, retry_at=LONG_AGO))
            self.again = False

    def start_over(self, job: Job) -> None:
        """The status that was made of what is known can't be stored: what the stored one says stands, and Airflow is asked again."""
        self.ledger, self.outputs, self.refined_at = remember(job.status), None, None
        self.effort = replace(self.effort, doubt=True, refused=True, over_since=None)
        self.acknowledge()

    def acknowledge(self) -> None:
        """What was folded is stored."""
        owed, self.owed = self.owed, []
        for done in owed:
            done()

    def forget(self) -> None:
        """Nobody is left who needs what has arrived."""
        self.owed += self.done
        self.done, self.facts, self.snapshots = [], [], []
        self.acknowledge()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
