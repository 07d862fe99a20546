"""Gather, decide, act, for one MLJob: carries out what :mod:`...core.decisions` decides until there is nothing to do but wait."""

from __future__ import annotations

import asyncio
import logging
import secrets as random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mljob_contract.mljob import ChildRuns

from ...core import orphans
from ...core.airflow_instance.admission import AdmissionQueue
from ...core.conf.redaction import Redaction
from ...core.mljob import attempts, decisions
from ...core.mljob.afterwards import was_cleared
from ...core.mljob.airflow_use import active_reservation, is_reachable, reservation
from ...core.mljob.current import first_attempt
from ...core.mljob.decisions import Action, Expire, Release, Store, Wait, decide
from ...core.mljob.inputs import Inputs
from ...core.mljob.job import Job
from ...core.mljob.state import State, classify
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import LastError, TransientState
from ...core.run.children import Child, may_be_ended
from ...core.run.observed_run import ABSENCE_TAKES, ObservedRun, ask
from ...core.run.run_key import Key, RunKey
from ...core.run.states import TERMINAL_PHASES
from ...core.run.vanishing import MissingRuns, explained
from ...core.status.disclosure import disclosed
from ...core.status.events import of_children
from ...errors import (
    AirflowError,
    AirflowForbidden,
    AirflowUnauthorized,
    AirflowUnavailable,
    AirflowUnreadable,
    DagNotFound,
    DagRefused,
    OperatorError,
    ReferenceMissing,
    StoreError,
    backoff,
)
from ...ports import Airflows, Clock, JobStore
from .actions import Actions, Turn, dag_runs_of, log_of, user_of
from .backfill_actions import BackfillActions
from .confs import Confs
from .run_actions import RunActions

UNKNOWN_FOR = timedelta(seconds=30)
"""How long a submission without an answer may still take effect: Airflow's api-server has given up on it by then."""

MAX_RUNS_OF_A_SPEC = 1000
"""Runs that an MLJob of this spec may have taken before (OncePerSpec). An Airflow that says yes to whatever it is asked would be asked for ever."""

MAX_MEANT = 3
"""DAGs that are named where there is none of the name that the spec has."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an advance has come to.

    Attributes:
        known: What is known of the MLJob now; None: the MLJob is gone.
        state: The state in which nothing was left to do but ``action``; None with ``known``.
        action: What the caller carries out.
    """

    known: TrackedJob | None
    state: State | None
    action: Wait | Store | Release | Expire


class Reconciler:
    """Acts on decisions.

    Args:
        airflows: Where runs are.
        jobs: The Kubernetes API.
        clock: Now.
        prefix: Of dag run ids.
        cancel_fallback: How long the cancellation DAG has before REST does it.
        lost_before: Runs that are missing and were submitted before this time are lost for good, by Airflow.
        process: What tells this process from any other one; by default a random text.
    """

    def __init__(
        self,
        airflows: Airflows,
        jobs: JobStore,
        clock: Clock,
        *,
        prefix: str,
        cancel_fallback: timedelta,
        lost_before: Mapping[str, datetime] | None = None,
        process: str | None = None,
    ) -> None:
        self._airflows = airflows
        self._jobs = jobs
        self._clock = clock
        self._prefix = prefix
        self._cancel_fallback = cancel_fallback
        self._process = process or random.token_hex(4)
        self.admission = AdmissionQueue()
        """Who has a run in which Airflow, and who waits for one."""
        self.missing_runs = MissingRuns(lost_before)
        """Which runs are missing in which Airflow, and whether that counts."""
        self.confs = Confs(jobs, clock)
        """What runs get, and what of it must not be told."""
        self._admitted: list[Key] = []
        self._single_run, self._backfill = RunActions(self.confs, clock), BackfillActions(self.confs, clock)
        self._carry_out: dict[type[Action], Callable[[Turn, Any], Awaitable[TrackedJob | None]]] = {
            decisions.TakeOver: self._take_over,
            decisions.AddFinalizer: self._add_finalizer,
            decisions.CountRuns: self._count_runs,
            decisions.BeginAttempt: self._begin_attempt,
            decisions.Submit: lambda turn, action: self._of(turn).submit(turn, action),
            decisions.ClearFailed: lambda turn, action: self._of(turn).clear_failed(turn, action),
            decisions.Pause: lambda turn, action: self._of(turn).pause(turn, action),
            decisions.LookUpRun: lambda turn, _: self._of(turn).look_up(turn),
            decisions.ListTasks: lambda turn, _: self._of(turn).list_tasks(turn),
            decisions.ReadQuestions: self._read_questions,
            decisions.TriggerCancellation: self._trigger_cancellation,
            decisions.CheckCancellation: self._check_cancellation,
            decisions.CancelDirectly: lambda turn, _: self._of(turn).cancel(turn),
            decisions.HandleChildren: self._handle_children,
            decisions.NoteRetention: self._note_retention,
        }

    def transient(self, job: Job) -> TransientState:
        """What is known to have been tried for an MLJob that this process has not seen before.

        A run that was announced and has no answer may be on its way: the process before this one may have died waiting for it.
        """
        return TransientState(unknown_until=self._clock() + UNKNOWN_FOR) if _announced(job) else TransientState()

    def elsewhere(self, job: Job) -> TransientState | None:
        """What is known to have been tried for an attempt that another process has begun while this one was at work; None: this one has begun it."""
        attempt = attempts.current(job.status)
        if attempt is not None and attempt.submitter == self._process:
            return None
        transient = self.transient(job)
        return replace(transient, left_until=transient.unknown_until)

    def state(self, known: TrackedJob) -> State:
        """The state of an MLJob, now."""
        return classify(self._inputs(known))

    def _inputs(self, known: TrackedJob) -> Inputs:
        job = known.job
        inputs = Inputs(
            job,
            known.observed_run,
            known.transient,
            self._clock(),
            prefix=self._prefix,
            cancel_fallback=self._cancel_fallback,
            catalog=self._airflows.catalog(job.namespace),
            absence_withheld=self.missing_runs.withholds(job.key),
        )
        attempt = known.transient.attempt or attempts.current(job.status)
        dag_id = attempt.dag_id if attempt is not None else job.spec.dag_id
        airflows = {attempt.airflow, inputs.target} if attempt is not None else {inputs.target}
        vanished = {airflow: explained(airflow) for airflow in airflows if self.missing_runs.have_vanished(airflow)}
        full = [airflow for airflow in airflows if self._full(inputs, airflow, dag_id)]
        if not vanished and not full:
            return inputs
        not_ready = {**inputs.catalog.not_ready, **vanished}
        return replace(inputs, catalog=replace(inputs.catalog, not_ready=not_ready, full=full))

    def _full(self, inputs: Inputs, airflow: str, dag_id: str) -> bool:
        """Whether an Airflow has no place for the MLJob's run."""
        key, catalog = inputs.job.key, inputs.catalog
        if self.admission.is_admitted(key, airflow):
            return False
        return self.admission.has_to_wait(key, airflow, catalog.rule(airflow, dag_id), catalog.limits(airflow))

    def ui_url(self, airflow: str) -> str | None:
        """An Airflow's base URL for people."""
        return self._airflows.ui_url(airflow)

    def doubt(self, airflow: str) -> None:
        """Something of an Airflow has changed that its status tells."""
        self._airflows.doubt(airflow)

    def reserve(self, state: State) -> None:
        """Note what an MLJob has or wants in this state."""
        self._follow(state)
        self.admission.reserve(state.job.key, reservation(state), _created(state.job))

    def _follow(self, state: State) -> None:
        """Note whether the MLJob's run is there or missing."""
        key = state.job.key
        if not state.current.active or state.observed_run.over:
            self.missing_runs.forget(key)
            return
        self.missing_runs.follow(
            key,
            state.run.airflow,
            missed_at=state.observed_run.missed_at,
            answered_at=state.transient.looked_up_at,
            submitted_at=state.job.status.submit_time,
        )

    def drop(self, key: Key) -> None:
        """An MLJob is gone, or has nothing more to do."""
        self.admission.release(key)
        self.missing_runs.forget(key)
        self.confs.forget(key)

    def admitted(self) -> list[Key]:
        """MLJobs that may submit their runs now and don't know it yet."""
        for airflow in self.admission.queues():
            self._admit(airflow)
        admitted, self._admitted = self._admitted, []
        return admitted

    def _admit(self, airflow: str) -> None:
        self._admitted += self.admission.admit(airflow, self._airflows.limits(airflow))

    def _admission(self, known: TrackedJob) -> State:
        """The state once it is known whether the MLJob may submit its run."""
        state = self.state(known)
        key, before = state.job.key, self._missing(state)
        self._follow(state)
        if self._missing(state) != before:
            state = self.state(known)
        wanted = reservation(state)
        self.admission.reserve(key, wanted, _created(state.job))
        if wanted is None or self.admission.is_admitted(key, wanted.airflow):
            return state
        self._admit(wanted.airflow)
        # This MLJob is taking its step, and need not be told.
        self._admitted = [other for other in self._admitted if other != key]
        return self.state(known)

    def _missing(self, state: State) -> tuple[bool, ...]:
        """What a state depends on that is known of missing runs."""
        airflows = (state.run.airflow, state.inputs.target)
        return self.missing_runs.withholds(state.job.key), *map(self.missing_runs.have_vanished, airflows)

    async def advance(self, known: TrackedJob) -> Outcome:
        """Do all that can be done now.

        Raises:
            Conflict: The MLJob has changed meanwhile; read it and advance again.
            StoreError: The Kubernetes API fails.
        """
        while True:
            state = self._admission(known)
            action = decide(state)
            if isinstance(action, Wait | Store | Release | Expire):
                return Outcome(known, state, action)
            turn = Turn(known, state, self._airflows, self._jobs)
            if isinstance(action, decisions.Submit | decisions.ClearFailed):
                self.admission.reserve(state.job.key, active_reservation(state), _created(state.job))
            try:
                after = await self._carry_out[type(action)](turn, action)
            except (AirflowError, ReferenceMissing) as error:
                known = await self._failed(turn, action, error)
                continue
            if after is None:
                return Outcome(None, None, Wait())
            known = (
                after
                if after.transient.last_error is None
                else replace(after, transient=replace(after.transient, last_error=None))
            )

    async def redaction(self, state: State) -> Redaction:
        """What must not be told of an MLJob. Where its run's texts are to be told, the run's conf is read first, if Airflow can be asked.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        at = self.confs.read_at(state)
        if at is not None and at <= state.now and is_reachable(state):
            try:
                await self.confs.read(state, dag_runs_of(state, self._airflows))
            except AirflowError as error:
                # Not with its words, which are withheld too.
                log_of(state, logging.WARNING, "texts of the run are withheld: %s, conf not read", error.reason)
        return self.confs.redaction(state)

    async def _told(self, state: State) -> TransientState:
        """What was tried, as far as it may be told."""
        return disclosed(state, None, await self.redaction(state))[0].transient

    async def _failed(self, turn: Turn, action: Action, error: OperatorError) -> TrackedJob:
        """What is known after an action that failed."""
        state = turn.state
        if isinstance(error, AirflowUnavailable | AirflowUnauthorized | AirflowForbidden):
            self._airflows.doubt(state.run.airflow, user_of(state))
        known = turn.learned(transient=self._trouble(error, action, state))
        told = await self._told(self.state(known))
        if told.last_error is not None:
            turn.log(logging.WARNING, "%s: %s", told.last_error.reason, told.last_error.message)
        return known

    def _of(self, turn: Turn) -> Actions:
        """The actions of a single run, or of a backfill."""
        return self._backfill if turn.job.is_backfill else self._single_run

    async def _take_over(self, turn: Turn, _: decisions.TakeOver) -> TrackedJob:
        attempt = turn.state.current.attempt
        assert attempt is not None
        sent_at = asyncio.get_running_loop().time()
        taken = await self._jobs.write_status(turn.job, {"submittedBy": self._process})
        # From here on no other process submits the run. What another process has sent before may be on its way.
        transient = TransientState(
            attempt=replace(attempt, submitter=self._process),
            halt=turn.transient.halt,
            unknown_until=self._clock() + UNKNOWN_FOR,
        )
        return turn.written(taken, sent_at, transient)

    async def _add_finalizer(self, turn: Turn, _: decisions.AddFinalizer) -> TrackedJob | None:
        job = await self._jobs.set_finalizer(turn.job, present=True)
        return turn.changed(job) if job is not None else None

    async def _count_runs(self, turn: Turn, _: decisions.CountRuns) -> TrackedJob:
        transient, now = turn.transient, turn.state.now
        counted = transient.counted
        while await self._is_there(turn, counted + 1):
            counted += 1
            if counted >= MAX_RUNS_OF_A_SPEC:
                raise AirflowUnreadable(
                    f"Airflow says that it has {counted} runs of this spec, which nobody has. Is it Airflow's api-server?"
                )
        since = transient.counted_at if counted == transient.counted and transient.counted_at is not None else now
        newest = counted if now >= since + ABSENCE_TAKES else None
        return turn.learned(transient=replace(transient, counted=counted, counted_at=since, newest=newest))

    async def _is_there(self, turn: Turn, number: int) -> bool:
        """Whether Airflow has the ``number``-th run of the MLJob's spec."""
        run = first_attempt(turn.state.inputs, number)
        return await turn.dag_runs.get(run.dag_id, run.run_id) is not None

    async def _begin_attempt(self, turn: Turn, action: decisions.BeginAttempt) -> TrackedJob:
        state, observed_run = turn.state, turn.observed_run
        attempt = replace(action.attempt, submitter=self._process)
        begun = TransientState(attempt=attempt, halt=turn.transient.halt, unknown_until=turn.transient.unknown_until)
        another = RunKey(attempt.airflow, attempt.dag_id, attempt.run_id) != state.run
        if another or state.current.attempt is None:
            return turn.begun(ObservedRun(), begun)
        run = observed_run.run if was_cleared(state) else None
        observed_run = replace(
            observed_run, run=run, heard=None, listed=False, missed_at=None, not_found=False, observed_backfill=None
        )
        return turn.learned(observed_run=observed_run, transient=begun)

    async def _read_questions(self, turn: Turn, _: decisions.ReadQuestions) -> TrackedJob:
        run = turn.state.run
        await self.confs.read(turn.state, turn.dag_runs)
        return turn.learned(observed_run=ask(turn.observed_run, await turn.dag_runs.questions(run.dag_id, run.run_id)))

    async def _trigger_cancellation(self, turn: Turn, _: decisions.TriggerCancellation) -> TrackedJob:
        state, job = turn.state, turn.job
        reason = f"MLJob {job.namespace}/{job.name}: {state.cancellation.reason}"
        await turn.confirm()
        try:
            await turn.operators_dag_runs.trigger_cancellation(state.run.dag_id, state.run.run_id, reason)
        except DagRefused as error:
            known = turn.learned(transient=replace(turn.transient, cancel_dag_refused=str(error)))
            told = await self._told(self.state(known))
            turn.log(logging.WARNING, "cancelling through REST: %s", told.cancel_dag_refused)
            return known
        return turn.learned(transient=replace(turn.transient, cancel_dag_at=state.now))

    async def _check_cancellation(self, turn: Turn, _: decisions.CheckCancellation) -> TrackedJob:
        running = await turn.operators_dag_runs.cancellation_runs(turn.state.run.run_id)
        transient = replace(turn.transient, cancel_dag_checked_at=turn.state.now, cancel_dag_running=running)
        return turn.learned(transient=transient)

    async def _note_retention(self, turn: Turn, _: decisions.NoteRetention) -> TrackedJob:
        run = turn.state.run
        try:
            await turn.dag_runs.set_note(run.dag_id, run.run_id, orphans.note_of_retained(turn.job.key))
        except AirflowError as error:
            turn.log(logging.WARNING, "the run's note does not say that it is retained: %s", error)
        return turn.learned(transient=replace(turn.transient, retention_noted=True))

    async def _handle_children(self, turn: Turn, _: decisions.HandleChildren) -> TrackedJob:
        """End the runs that a cancelled run had started, or leave them, and tell of them.

        Raises:
            AirflowError: They are to be ended, and can't be.
        """
        ended, left = await self._end_children(turn)
        if ended or left:
            # A task may have put what came from a Secret into the id of a run.
            told = (await self.redaction(turn.state)).outside
            ended, left = (
                [Child(told(child.dag_id), told(child.run_id), child.by_task) for child in group]
                for group in (ended, left)
            )
            for notice in of_children(ended, left, turn.state.run.run_id):
                try:
                    await self._jobs.record(turn.job, notice)
                except StoreError as error:
                    turn.log(logging.WARNING, "event %s was not recorded: %s", notice.reason, error)
        return turn.learned(transient=replace(turn.transient, children_handled=True))

    async def _end_children(self, turn: Turn) -> tuple[list[Child], list[Child]]:
        """The runs that a cancelled run had started: those that are ended now, and those that are left."""
        state = turn.state
        cancel = turn.job.spec.cancellation.children is ChildRuns.CANCEL
        try:
            found = await turn.dag_runs.children(state.run.dag_id, state.run.run_id)
            if not found:
                return [], []
            await self.confs.read(state, turn.dag_runs)
        except AirflowError as error:
            if cancel:
                raise
            turn.log(logging.WARNING, "runs that the cancelled run had started are not known: %s", error)
            return [], []
        ended = [child for child in found if cancel and self._may_end(state, child)]
        for child in ended:
            await turn.dag_runs.cancel(child.dag_id, child.run_id)
            turn.log(logging.INFO, "cancelled run %s of DAG %s, a child", child.run_id, child.dag_id)
        return ended, [child for child in found if child not in ended]

    def _may_end(self, state: State, child: Child) -> bool:
        allowed = state.catalog.may_run(state.run.airflow, child.dag_id)
        return may_be_ended(child, state.run, self._prefix, allowed=allowed)

    def _trouble(self, error: OperatorError, action: Action, state: State) -> TransientState:
        """Remember what went wrong, and when to try again."""
        job, transient, now, message = state.job, state.transient, self._clock(), _message(error, state)
        starting = isinstance(action, decisions.CountRuns | decisions.Submit | decisions.ClearFailed)
        if starting:
            transient = replace(transient, kept_by=message)
            if isinstance(error, AirflowError) and error.outcome_unknown:
                transient = replace(transient, unknown_until=now + UNKNOWN_FOR)
        last = transient.last_error
        failures = last.failures + 1 if last and last.reason == error.reason else 1
        # A cancellation is owed whatever Airflow says of it: until its deadline it is tried again.
        stalls = error.stalls and state.cancellation.reason is None
        retry_at = now + timedelta(seconds=backoff(error, failures))
        last_error = LastError(error.reason, message, job.generation, retry_at, failures, starting, stalls)
        return replace(transient, last_error=last_error)


def _message(error: OperatorError, state: State) -> str:
    """What went wrong, with the DAGs that may have been meant where there is none of that name: those of them that the namespace may run."""
    if not isinstance(error, DagNotFound):
        return str(error)
    meant = [dag_id for dag_id in error.similar if state.catalog.may_run(state.run.airflow, dag_id)]
    return f"{error} Did you mean {' or '.join(meant[:MAX_MEANT])}?" if meant else str(error)


def _announced(job: Job) -> bool:
    """Whether the status speaks of an attempt that it does not say is submitted."""
    status = job.status
    open_attempt = attempts.current(status) is not None and not attempts.closed(status)
    return open_attempt and status.submit_time is None and status.phase not in TERMINAL_PHASES


def _created(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)
