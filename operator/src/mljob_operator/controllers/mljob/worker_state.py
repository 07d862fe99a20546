"""The state of an MLJob's worker: what the worker has observed, and the input for the next step
(:mod:`.steps`). A step reconciles the MLJob once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from mljob_contract.mljob import Phase

from ...core.mljob import attempts
from ...core.mljob.classification.state import State
from ...core.mljob.remembered import remember
from ...core.mljob.resource.job import Job
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import TransientState
from ...core.run.backfill import BackfillRun
from ...core.run.facts import EventId, RunFact, Snapshot, TaskFact, TaskKey
from ...core.run.halt import Halt
from ...core.run.observed_run import LONG_AGO, fold, observe, tells_nothing_new
from ...core.run.run_key import RunKey
from ...core.run.states import FINISHED_TASK, TERMINAL_PHASES, RunState
from ...core.status.tasks import RunTasks
from ...errors import Conflict

Done = Callable[[], None]

MAX_UNREAD_SNAPSHOTS = 10
"""The number of Airflow's answers in the inbox of an MLJob that waits in the queue of writes, from
which a step folds the answers before the MLJob's turn. Otherwise, different answers would pile up.
"""
MAX_UNACKNOWLEDGED = 2_000
"""The maximum number of an MLJob's Kafka events that are not acknowledged. The reader of the topic
pauses if 20,000 events are not acknowledged, and one MLJob whose status can't be stored must not
cause this pause. If the operator restarts, it does not read older events of the MLJob again.
"""
MAX_UNREAD_FACTS = 10_000
"""The maximum number of facts in the inbox of an MLJob. Only an MLJob whose steps take long, or wait
for the end of a backoff, has so many. The oldest facts are dropped. The change feed has the states
of their runs and tasks.
"""
DELETED_MEANWHILE = "the MLJob was deleted meanwhile"
"""The message of the Conflict that ends the block of :meth:`WorkerState.until_deleted`."""


@dataclass(slots=True)
class Inbox:
    """The input for an MLJob since its last step.

    Attributes:
        facts: Changes of runs and tasks from Kafka events, and states of a backfill's runs from
            Airflow's REST API. Each fact comes with the runs that the fact may be about: one run in
            each Airflow that may have reported the fact.
        snapshots: Answers of Airflow's REST API about single runs, each with the run. Several
            answers with the same content in succession count as one (:meth:`add_snapshot`).
        halts: Empty if the run's DAG was not checked since the last step. Otherwise one item: the
            reason why the DAG schedules no tasks, or None if the DAG schedules tasks.
        ended_tasks: The tasks that have ended according to ``facts`` and ``snapshots``
            (:meth:`WorkerState.note_ends`).
        look_up: Whether the run has to be requested from Airflow.
        forget_error: Whether the next step drops the last error and ends its backoff.
        retry_now: Whether the next step ends the backoff of the last error, but keeps the error.
    """

    facts: list[tuple[Collection[RunKey], TaskFact | RunFact | BackfillRun]] = field(default_factory=list)
    snapshots: list[tuple[RunKey, Snapshot]] = field(default_factory=list)
    halts: tuple[Halt | None, ...] = ()
    ended_tasks: frozenset[TaskKey] = frozenset()
    look_up: bool = False
    forget_error: bool = False
    retry_now: bool = False

    def add_snapshot(self, run: RunKey, snapshot: Snapshot) -> None:
        """Add an answer of Airflow's REST API about a run. The change feed repeats each change for
        some seconds, so an answer that repeats the newest answer replaces it.
        """
        if self.snapshots and self.snapshots[-1][0] == run:
            merged = snapshot.merged_with(self.snapshots[-1][1])
            if merged is not None:
                self.snapshots[-1] = run, merged
                return
        self.snapshots.append((run, snapshot))


@dataclass(slots=True)
class WorkerState:
    """The state of one MLJob's worker.

    Attributes:
        takeover_state: Returns the :class:`.TransientState` with which this process continues
            another process's attempt. Returns None if this process has begun the MLJob's attempt
            (:meth:`.Reconciler.takeover_state`).
        tracked: The MLJob with its observed run, or None if the MLJob was not read yet or is
            deleted.
        state: The MLJob's state as last computed, or None. If ``tracked`` has changed since then,
            this state is outdated, and :meth:`last_state` computes the new state.
        inbox: The input since the last step.
        run_tasks: A cache of the tasks in the last status.
        contradicted: The ids of the Kafka events that Airflow's REST API has contradicted, as of
            the last step. The metrics have already counted these events.
        done: Callbacks for the Kafka facts in the inbox. Each callback is called when its fact is
            stored, when the fact is not needed, or when too many newer Kafka facts have arrived
            (:meth:`add_event`).
        unstored: Callbacks for facts that are part of the observed run, but not stored yet.
        needs_step: Whether another step is needed.
        woken_at: When the first input for the next step arrived, in the event loop's seconds. None
            if no input has arrived. If a step fails, or leaves its status in the queue of writes,
            the attribute keeps its value for the next step.
        task: The asyncio task that runs the steps, and that also waits for a backoff between two
            steps. None if there is no such task.
        timer: Wakes the worker at the planned time of the next step. None if no time is planned.
        report_timer: Ends the pause before the next report of the run's progress. None if no
            progress waits for the end of a pause.
        written_at: When the last successful status patch was sent, in the event loop's seconds.
            Minus infinity if no patch was successful since the last call of :meth:`begin`.
        refining_since: When the operator began to delay a status patch that only makes values more
            exact. None if no such patch is delayed.
        awaits_turn: Whether the MLJob waits in the queue of writes, with a changed status or with
            input that may change the status.
        writing: Whether a status patch is being sent.
        read_limit: Ends the read in the block of :meth:`until_deleted`. None outside of this block.
        failures: The number of failed steps in a row.
        abandonment_reported: Whether the operator has reported that it gives up cancelling the run.
        begin_count: How many times ``begin`` was called. If the number changes during a step, the
            step's outcome is dropped.
    """

    takeover_state: Callable[[Job], TransientState | None]
    tracked: TrackedJob | None = None
    state: State | None = None
    inbox: Inbox = field(default_factory=Inbox)
    run_tasks: RunTasks = field(default_factory=RunTasks)
    contradicted: frozenset[EventId] = frozenset()
    done: list[Done] = field(default_factory=list)
    unstored: list[Done] = field(default_factory=list)
    needs_step: bool = False
    woken_at: float | None = None
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    report_timer: asyncio.TimerHandle | None = None
    written_at: float = float("-inf")
    refining_since: datetime | None = None
    awaits_turn: bool = False
    writing: bool = False
    read_limit: asyncio.Timeout | None = None
    failures: int = 0
    abandonment_reported: bool = False
    begin_count: int = 0

    @property
    def job(self) -> Job | None:
        """The MLJob as last read or written. None if the MLJob was not read yet, or is deleted."""
        return self.tracked.job if self.tracked is not None else None

    @property
    def finished(self) -> bool:
        """Whether the MLJob's status has a terminal phase. False if no MLJob is tracked."""
        return self.tracked is not None and self.tracked.job.status.phase in TERMINAL_PHASES

    def agrees(self, run_state: RunState | None) -> bool:
        """Return whether the phase in the stored status agrees with the state of the run.

        Args:
            run_state: The new state of the run. None if the change is about tasks.
        """
        phase = self.job.status.phase if self.job is not None else None
        if phase is Phase.QUEUED:
            return run_state is RunState.QUEUED
        return phase is Phase.RUNNING and run_state in (None, RunState.RUNNING)

    def follows_quietly(self, run_state: RunState | None) -> bool:
        """Return whether the MLJob only reports the progress of its run: the phase in the stored
        status agrees with the state of the run (:meth:`agrees`), the MLJob is not being deleted,
        and no step is needed or running.
        """
        job = self.job
        if job is None or job.deleting or self.task is not None or self.needs_step:
            return False
        return self.agrees(run_state)

    @property
    def has_many_snapshots(self) -> bool:
        """Whether a step has to fold the snapshots in the inbox, although the MLJob waits in the
        queue of writes.
        """
        return len(self.inbox.snapshots) >= MAX_UNREAD_SNAPSHOTS

    def note_ends(self, tasks: Iterable[TaskFact]) -> bool:
        """Record which of ``tasks`` have ended. ``tasks`` are new in the inbox. Return whether
        ``tasks`` has the last task of the run that has not ended. The result is False if the
        operator does not know all tasks of the run.
        """
        ended = {fact.key for fact in tasks if fact.state in FINISHED_TASK}
        if not ended or self.tracked is None:
            return False
        self.inbox.ended_tasks |= ended
        run = self.tracked.observed_run
        return run.complete and all(
            fact.shown_state in FINISHED_TASK or fact.key in self.inbox.ended_tasks for fact in run.tasks.values()
        )

    def last_state(self, classify: Callable[[TrackedJob], State]) -> State:
        """Return the state of the tracked MLJob. If no state is stored, or if ``tracked`` has
        changed since the state was computed, compute the state with ``classify`` and store it.
        """
        state, tracked = self.state, self.tracked
        assert tracked is not None
        if state is None or not (
            state.job is tracked.job
            and state.observed_run is tracked.observed_run
            and state.transient is tracked.transient
        ):
            state = self.state = classify(tracked)
        return state

    def rest(self) -> None:
        """Save memory until the next input: keep the MLJob in a compact form, and drop data that
        can be computed again. Do nothing while the asyncio task that runs the steps exists
        (``task``).
        """
        if self.task is None:
            self.state, self.run_tasks = None, RunTasks()
            if self.tracked is not None:
                self.tracked.job.parsed.pack()
                self.tracked.job.stored.pack()

    def begin(self, job: Job, transient: TransientState) -> None:
        """Track ``job``. Set the observed run to the run in the stored status of ``job``. The inbox
        is kept, because facts about this run may have arrived already.
        """
        self.tracked = TrackedJob(job, remember(job.status), transient)
        self.state = None
        self.written_at = float("-inf")
        # A status patch that is being sent was made for the MLJob or attempt before this one.
        self.writing = False
        self.abandonment_reported = False
        self.begin_count += 1

    def update(self, job: Job) -> None:
        """Track a later version of the MLJob. If another process has begun a new attempt or has set
        a terminal phase, set the observed run to the run in the status of this version. If somebody
        has deleted the MLJob, end the read in the block of :meth:`until_deleted`.
        """
        assert self.tracked is not None
        if job.deleting and not self.tracked.job.deleting:
            self._end_read()
        if not self.writing and _ends(self.tracked.job, job):
            self._begin_after_end(job)
            return
        same = attempts.are_same(job.status, self.tracked.job.status)
        transient = None if same else self.takeover_state(job)
        if transient is None:
            self.tracked = replace(self.tracked, job=job)
        else:
            self.begin(job, transient)

    def drop_outdated_run(self, before: Job) -> None:
        """Drop the observed run if the MLJob has ended since an earlier version. Call this method
        after a failed write of the status.

        Args:
            before: The earlier version, from which the status of the failed write was computed.
        """
        if self.job is not None and self.job.uid == before.uid and _ends(before, self.job):
            self._begin_after_end(self.job)

    def _begin_after_end(self, job: Job) -> None:
        """Track ``job``, whose stored status has a terminal phase (:meth:`begin`). Airflow's
        answers in the inbox are dropped, because these answers may be older than the run's end.
        """
        self.inbox.snapshots.clear()
        self.begin(job, TransientState())

    def accept(self, answer: Job | None, of: Job) -> bool:
        """Track the MLJob from an answer of the Kubernetes API. If the watch has already delivered a
        later version, the deletion, or another MLJob with this name, the answer is dropped.

        Args:
            answer: The MLJob in the answer. None if the MLJob is deleted.
            of: The version of the MLJob that the request was about.

        Returns:
            Whether the worker still tracks the MLJob of the request.
        """
        current = self.job
        if current is None or current.uid != of.uid:
            return False
        if answer is None:
            self.tracked = None
        elif not answer.newer_than(current):
            pass
        elif answer.uid != of.uid:
            self.forget()
            self.begin(answer, TransientState())
        else:
            self.update(answer)
        return self.job is not None and self.job.uid == of.uid

    def keep(self, after: TrackedJob) -> TrackedJob:
        """Set ``tracked`` to ``after``, which is the result of a step's actions, and return
        ``tracked``. If the watch has delivered a later version of the MLJob during the step,
        ``tracked`` gets this version instead of the version in ``after``.
        """
        assert self.tracked is not None
        self.tracked = after if self.tracked.job is after.job else replace(after, job=self.tracked.job)
        return self.tracked

    def takes_quietly(self, run: RunKey, snapshot: Snapshot) -> bool:
        """If a snapshot (Airflow's answer about a run) contains nothing new, update only the times
        at which the run's tasks were observed, without a step, and return True.

        In each of these cases, change nothing and return False:

        - The snapshot contains something new, or is about another run.
        - A step is needed, or the asyncio task that runs the steps exists (``task``).
        - The MLJob is not tracked or has finished, or its state is not computed or is outdated.
        """
        tracked, state = self.tracked, self.state
        if tracked is None or state is None or self.needs_step or self.task is not None or self.finished:
            return False
        known = tracked.observed_run
        if state.run != run or state.job is not tracked.job or state.observed_run is not known:
            return False
        after = observe(known, snapshot)
        if not tells_nothing_new(after, known):
            return False
        self.tracked = replace(tracked, observed_run=after)
        self.state = replace(state, inputs=replace(state.inputs, observed_run=after))
        return True

    def add_event(self, candidates: Collection[RunKey], fact: TaskFact | RunFact | BackfillRun, done: Done) -> None:
        """Add a fact from a Kafka event to the inbox. If more than ``MAX_UNACKNOWLEDGED`` (2,000)
        events are not acknowledged, acknowledge the oldest of these events. The fact of this event
        is kept, unless the inbox has more than ``MAX_UNREAD_FACTS`` (10,000) facts.

        Args:
            candidates: The runs that the fact may be about.
            fact: The change of a run or task.
            done: Acknowledges the event.
        """
        self.inbox.facts.append((candidates, fact))
        if len(self.inbox.facts) > MAX_UNREAD_FACTS:
            del self.inbox.facts[0]
        self.done.append(done)
        if len(self.unstored) + len(self.done) > MAX_UNACKNOWLEDGED:
            (self.unstored or self.done).pop(0)()

    def fold_inbox(self, state: State) -> None:
        """Empty the inbox, and add the input from the inbox to ``tracked``. Facts and snapshots
        about other runs than ``state.run`` have no effect.
        """
        assert self.tracked is not None
        inbox, self.inbox = self.inbox, Inbox()
        self.unstored += self.done
        self.done = []
        since = attempts.run_facts_since(state.current.status)
        observed_run, transient = self.tracked.observed_run, self.tracked.transient
        if observed_run.since != since:
            observed_run = replace(observed_run, since=since)
        observed_run = fold(observed_run, (fact for candidates, fact in inbox.facts if state.run in candidates))
        for run, snapshot in inbox.snapshots:
            if run == state.run:
                observed_run = observe(observed_run, snapshot)
        if inbox.halts:
            transient = replace(transient, halt=inbox.halts[-1])
        if inbox.look_up:
            transient = replace(transient, needs_look_up=True)
        if inbox.forget_error:
            transient = replace(transient, last_error=None)
        if inbox.retry_now and transient.last_error is not None:
            transient = replace(transient, last_error=replace(transient.last_error, retry_at=LONG_AGO))
        if observed_run is not self.tracked.observed_run or transient is not self.tracked.transient:
            self.tracked = replace(self.tracked, observed_run=observed_run, transient=transient)

    def start_over(self) -> None:
        """Go back to the observed run of the stored status, because the Kubernetes API server
        refused a newer status. Facts that are not stored yet are dropped. The next step reads the
        run from Airflow again.
        """
        assert self.tracked is not None
        job, transient = self.tracked.job, self.tracked.transient
        transient = replace(transient, needs_look_up=True, refused=True, over_since=None)
        self.tracked = replace(self.tracked, observed_run=remember(job.status), transient=transient, outputs=None)
        self.refining_since = None
        self.acknowledge()

    def acknowledge(self) -> None:
        """Call the callbacks in ``unstored``, because their facts are stored or dropped."""
        unstored, self.unstored = self.unstored, []
        for done in unstored:
            done()

    @asynccontextmanager
    async def until_deleted(self, job: Job) -> AsyncIterator[None]:
        """Return an asynchronous context manager for a step's requests that a deleted MLJob does
        not need. A worker runs at most one such block at a time.

        Args:
            job: The version of the MLJob from which the step has begun.

        Raises:
            Conflict: Since this version, somebody has deleted the MLJob, possibly during the block.
                This ends the block, also if finalizers still hold the MLJob.
        """
        if self.job is None or self.job.uid != job.uid or (self.job.deleting and not job.deleting):
            raise Conflict(DELETED_MEANWHILE)
        limit = self.read_limit = asyncio.timeout(None)
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise Conflict(DELETED_MEANWHILE) from None
            raise
        finally:
            self.read_limit = None

    def _end_read(self) -> None:
        if self.read_limit is not None:
            self.read_limit.reschedule(asyncio.get_running_loop().time())
            # An expired limit can't be rescheduled again.
            self.read_limit = None

    def forget(self) -> None:
        """Drop the input and the timers, call all callbacks, and end the read in the block of
        :meth:`until_deleted`, because no MLJob needs these any more.
        """
        self._end_read()
        self.unstored += self.done
        self.done = []
        self.inbox.facts, self.inbox.snapshots = [], []
        self.acknowledge()
        self.cancel_timers()

    def cancel_timers(self) -> None:
        """Cancel ``timer`` and ``report_timer``."""
        for timer in (self.timer, self.report_timer):
            if timer is not None:
                timer.cancel()
        self.timer = self.report_timer = None


def _ends(before: Job, after: Job) -> bool:
    return before.status.phase not in TERMINAL_PHASES and after.status.phase in TERMINAL_PHASES
