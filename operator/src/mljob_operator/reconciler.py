"""Gather, decide, act, for one MLJob: carries out what :mod:`.core.decisions` decides until there is nothing to do but wait."""

from __future__ import annotations

import asyncio
import logging
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mljob_contract.mljob import ChildRuns

from . import backfills
from .confs import Confs
from .core import attempts, decisions, orphans
from .core.admission import AdmissionQueue
from .core.children import Child, may_be_ended
from .core.decisions import Action, Expire, Release, Store, Wait, decide
from .core.effort import Effort, Trouble
from .core.facts import RunFact, Snapshot
from .core.job import Job, Key
from .core.ledger import ABSENCE_TAKES, Ledger, ask, missed, observe
from .core.mljob.afterwards import was_cleared
from .core.mljob.airflow_use import active_reservation, is_reachable, reservation
from .core.mljob.confirmation import LIST_AGAIN_AFTER
from .core.mljob.current import first_attempt
from .core.mljob.inputs import Inputs
from .core.mljob.state import State, classify
from .core.phases import FINISHED_TASK, TERMINAL_PHASES
from .core.redaction import Redaction
from .core.run_key import RunKey
from .core.status.disclosure import disclosed
from .core.status.events import of_children
from .core.status.outputs import Outputs, bounded
from .core.vanishing import MissingRuns, explained
from .errors import (
    AirflowError,
    AirflowForbidden,
    AirflowUnauthorized,
    AirflowUnavailable,
    AirflowUnreadable,
    DagNotFound,
    DagRefused,
    NothingToClear,
    OperatorError,
    ReferenceMissing,
    Refused,
    StoreError,
    backoff,
)
from .logs import redacted_logger
from .ports import Airflows, Clock, DagRuns, JobStore, User

log = redacted_logger(__name__)

UNKNOWN_FOR = timedelta(seconds=30)
"""How long a submission without an answer may still take effect: Airflow's api-server has given up on it by then."""

MAX_RUNS_OF_A_SPEC = 1000
"""Runs that an MLJob of this spec may have taken before (OncePerSpec). An Airflow that says yes to whatever it is asked would be asked for ever."""

MAX_MEANT = 3
"""DAGs that are named where there is none of the name that the spec has."""

LATEST_FOR = 2.0
"""Seconds for which a version that the API server has confirmed is taken for the latest. A submission that is sent by then has arrived, or never will,
``UNKNOWN_FOR`` after another process has changed the MLJob."""

SETTLED_AFTER = timedelta(seconds=10)
"""When the tasks of an ended run are taken as they are. A worker may store the end of its task after the run's end, so a first list may still
show tasks under way; but a deadlocked run leaves tasks for good that never ran."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where one MLJob stands in this process.

    Attributes:
        job: As last read or written; None when it is gone.
        outputs: What the run's tasks published, once they were asked for.
        written_at: When a write that the API server accepted was sent, in the event loop's seconds: ``job`` was the latest version then.
    """

    job: Job | None
    ledger: Ledger = field(default_factory=Ledger)
    effort: Effort = field(default_factory=Effort)
    outputs: Outputs | None = None
    written_at: float = float("-inf")


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

    def effort(self, job: Job) -> Effort:
        """What is known to have been tried for an MLJob that this process has not seen before.

        A run that was announced and has no answer may be on its way: the process before this one may have died waiting for it.
        """
        return Effort(unknown_until=self._clock() + UNKNOWN_FOR) if _announced(job) else Effort()

    def elsewhere(self, job: Job) -> Effort | None:
        """What is known to have been tried for an attempt that another process has begun while this one was at work; None: this one has begun it."""
        attempt = attempts.current(job.status)
        if attempt is not None and attempt.submitter == self._process:
            return None
        effort = self.effort(job)
        return replace(effort, left_until=effort.unknown_until)

    def state(self, progress: Progress) -> State:
        """The state of an MLJob, now."""
        return classify(self._inputs(progress))

    def _inputs(self, progress: Progress) -> Inputs:
        job = progress.job
        assert job is not None
        inputs = Inputs(
            job,
            progress.ledger,
            progress.effort,
            self._clock(),
            prefix=self._prefix,
            cancel_fallback=self._cancel_fallback,
            around=self._airflows.surroundings(job.namespace),
            absence_withheld=self.missing_runs.withholds(job.key),
        )
        attempt = progress.effort.attempt or attempts.current(job.status)
        dag_id = attempt.dag_id if attempt is not None else job.spec.dag_id
        airflows = {attempt.airflow, inputs.target} if attempt is not None else {inputs.target}
        vanished = {airflow: explained(airflow) for airflow in airflows if self.missing_runs.have_vanished(airflow)}
        full = [airflow for airflow in airflows if self._full(inputs, airflow, dag_id)]
        if not vanished and not full:
            return inputs
        not_ready = {**inputs.around.not_ready, **vanished}
        return replace(inputs, around=replace(inputs.around, not_ready=not_ready, full=full))

    def _full(self, inputs: Inputs, airflow: str, dag_id: str) -> bool:
        """Whether an Airflow has no place for the MLJob's run."""
        key, around = inputs.job.key, inputs.around
        if self.admission.is_admitted(key, airflow):
            return False
        return self.admission.has_to_wait(key, airflow, around.rule(airflow, dag_id), around.limits(airflow))

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
        if not state.current.active or state.ledger.over:
            self.missing_runs.forget(key)
            return
        self.missing_runs.follow(
            key,
            state.run.airflow,
            missed_at=state.ledger.missed_at,
            answered_at=state.effort.looked_up_at,
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

    def _admission(self, progress: Progress) -> State:
        """The state once it is known whether the MLJob may submit its run."""
        self._follow(self.state(progress))
        state = self.state(progress)
        key, wanted = state.job.key, reservation(state)
        self.admission.reserve(key, wanted, _created(state.job))
        if wanted is None or self.admission.is_admitted(key, wanted.airflow):
            return state
        self._admit(wanted.airflow)
        # This one is taking its step, and need not be told.
        self._admitted = [other for other in self._admitted if other != key]
        return self.state(progress)

    async def redaction(self, state: State) -> Redaction:
        """What must not be told of an MLJob. Where its run's texts are to be told, the run's conf is read first, if Airflow can be asked.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        at = self.confs.read_at(state)
        if at is not None and at <= state.now and is_reachable(state):
            try:
                await self.confs.read(state, self._dag_runs(state))
            except AirflowError as error:
                # Not with its words, which are withheld too.
                self._log(state, logging.WARNING, "texts of the run are withheld: %s, conf not read", error.reason)
        return self.confs.redaction(state)

    async def _told(self, state: State) -> Effort:
        """What was tried, as far as it may be told."""
        return disclosed(state, None, await self.redaction(state))[0].effort

    async def advance(self, progress: Progress) -> tuple[Progress, Wait | Store | Release | Expire]:
        """Do all that can be done now.

        Raises:
            Conflict: The MLJob has changed meanwhile; read it and advance again.
            StoreError: The Kubernetes API fails.
        """
        while True:
            state = self._admission(progress)
            action = decide(state)
            if isinstance(action, Wait | Store | Release | Expire):
                return progress, action
            try:
                progress = await self._act(action, progress, state)
            except (AirflowError, ReferenceMissing) as error:
                if isinstance(error, AirflowUnavailable | AirflowUnauthorized | AirflowForbidden):
                    self._airflows.doubt(state.run.airflow, _user(state))
                progress = replace(progress, effort=self._trouble(error, action, state))
                told = await self._told(self.state(progress))
                if told.trouble is not None:
                    self._log(state, logging.WARNING, "%s: %s", told.trouble.reason, told.trouble.message)
            else:
                if progress.job is None:
                    return progress, Wait()
                progress = replace(progress, effort=replace(progress.effort, trouble=None))

    async def _act(self, action: Action, progress: Progress, state: State) -> Progress:
        job, ledger, effort = state.job, progress.ledger, progress.effort
        run_id, dag_id, now = state.run.run_id, state.run.dag_id, state.now
        if isinstance(action, decisions.Submit | decisions.ClearFailed):
            self.admission.reserve(job.key, active_reservation(state), _created(job))

        async def confirm() -> None:
            nonlocal progress
            progress = await self._confirm(progress)

        if job.is_backfill and isinstance(action, backfills.Action):
            ledger, effort = await backfills.act(action, state, self._dag_runs(state), self.confs, confirm, self._clock)
            return replace(progress, ledger=ledger, effort=effort)
        match action:
            case decisions.TakeOver():
                assert state.current.attempt is not None
                sent_at = asyncio.get_running_loop().time()
                taken = await self._jobs.write_status(job, {"submittedBy": self._process})
                # From here on no other process submits the run. What one has sent before may be under way.
                effort = Effort(
                    attempt=replace(state.current.attempt, submitter=self._process),
                    halt=effort.halt,
                    unknown_until=self._clock() + UNKNOWN_FOR,
                )
                return replace(progress, job=taken, effort=effort, written_at=sent_at)

            case decisions.AddFinalizer():
                return replace(progress, job=await self._jobs.set_finalizer(job, present=True))

            case decisions.CountRuns():
                counted = effort.counted
                while await self._is_there(state, counted + 1):
                    counted += 1
                    if counted >= MAX_RUNS_OF_A_SPEC:
                        raise AirflowUnreadable(
                            f"Airflow says that it has {counted} runs of this spec, which nobody has. Is it Airflow's api-server?"
                        )
                since = effort.counted_at if counted == effort.counted and effort.counted_at is not None else now
                newest = counted if now >= since + ABSENCE_TAKES else None
                return replace(progress, effort=replace(effort, counted=counted, counted_at=since, newest=newest))

            case decisions.BeginAttempt(next_one):
                attempt = replace(next_one, submitter=self._process)
                begun = Effort(attempt=attempt, halt=effort.halt, unknown_until=effort.unknown_until)
                another = RunKey(attempt.airflow, attempt.dag_id, attempt.run_id) != state.run
                if another or state.current.attempt is None:
                    return replace(progress, ledger=Ledger(), effort=begun, outputs=None)
                run = ledger.run if was_cleared(state) else None
                ledger = replace(ledger, run=run, heard=None, listed=False, missed_at=None, gone=False, course=None)
                return replace(progress, ledger=ledger, effort=begun)

            case decisions.Submit(conf_of):
                run = await self._submit(state, conf_of, confirm)
                self._log(state, logging.INFO, "submitted run %s of DAG %s", run_id, dag_id)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=run)))

            case decisions.ClearFailed():
                await confirm()
                try:
                    run = await self._dag_runs(state).clear_failed(
                        dag_id,
                        run_id,
                        since=attempts.run_facts_since(job.status),
                        latest_version=job.spec.retry_on_latest_version,
                    )
                except NothingToClear:
                    return replace(progress, effort=replace(effort, cleared_nothing=True))
                if run is None:
                    return replace(progress, ledger=missed(ledger, now, effort.unknown_until))
                self._log(state, logging.INFO, "cleared the failed tasks of run %s of DAG %s", run_id, dag_id)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=run)))

            case decisions.LookUpRun():
                fact = await self._dag_runs(state).get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now)
                if fact is None:
                    return replace(progress, ledger=missed(ledger, now, effort.unknown_until), effort=effort)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=fact)), effort=effort)

            case decisions.ListTasks():
                looked_at = effort.looked_up_at
                confirmed = ledger.over and looked_at is not None and now < looked_at + LIST_AGAIN_AFTER
                # That it has ended was asked a moment ago.
                fact = ledger.run if confirmed else await self._dag_runs(state).get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now, doubt=False)
                if fact is None:
                    return replace(progress, ledger=missed(ledger, now, effort.unknown_until), effort=effort)
                ledger = observe(ledger, Snapshot(now, run=fact))
                asked_at = self._clock()
                tasks = await self._dag_runs(state).tasks(dag_id, run_id)
                final = fact.ended and (
                    all(task.state in FINISHED_TASK for task in tasks)
                    or (effort.over_since is not None and asked_at - effort.over_since > SETTLED_AFTER)
                )
                ledger = observe(ledger, Snapshot(asked_at, tasks=tuple(tasks), complete=True, final=final))
                if not ledger.over:
                    return replace(progress, ledger=ledger, effort=effort)
                await self.confs.read(state, self._dag_runs(state))
                read = await self._dag_runs(state).outputs(dag_id, run_id, job.spec.outputs)
                outputs = bounded(read.values, read.omitted)
                if outputs.omitted:
                    self._log(state, logging.WARNING, "outputs that are left out: %s", ", ".join(outputs.omitted))
                effort = replace(effort, over_since=effort.over_since or asked_at)
                return replace(progress, ledger=ledger, effort=effort, outputs=outputs)

            case decisions.ReadQuestions():
                await self.confs.read(state, self._dag_runs(state))
                return replace(progress, ledger=ask(ledger, await self._dag_runs(state).questions(dag_id, run_id)))

            case decisions.TriggerCancellation():
                reason = f"MLJob {job.namespace}/{job.name}: {state.cancellation.reason}"
                await confirm()
                try:
                    await self._operators_own(state).trigger_cancellation(dag_id, run_id, reason)
                except DagRefused as error:
                    effort = replace(effort, cancel_dag_refused=str(error))
                    told = await self._told(replace(state, inputs=replace(state.inputs, effort=effort)))
                    self._log(state, logging.WARNING, "cancelling through REST: %s", told.cancel_dag_refused)
                    return replace(progress, effort=effort)
                return replace(progress, effort=replace(effort, cancel_dag_at=now))

            case decisions.CheckCancellation():
                running = await self._operators_own(state).cancellation_runs(run_id)
                return replace(progress, effort=replace(effort, cancel_dag_checked_at=now, cancel_dag_running=running))

            case decisions.CancelDirectly():
                await confirm()
                await self._dag_runs(state).cancel(dag_id, run_id)
                await self._operators_own(state).drop_cancellation(run_id)
                self._log(state, logging.INFO, "cancelled run %s through REST", run_id)
                return replace(
                    progress,
                    effort=replace(effort, cancelled_directly_at=now, looked_up_at=now - decisions.LOOK_UP_EVERY),
                )

            case decisions.SeeToChildren():
                await self._see_to_children(state)
                return replace(progress, effort=replace(effort, children_seen_to=True))

            case decisions.NoteRetention():
                try:
                    await self._dag_runs(state).set_note(dag_id, run_id, orphans.note_of_retained(job.key))
                except AirflowError as error:
                    self._log(state, logging.WARNING, "the run's note does not say that it is retained: %s", error)
                return replace(progress, effort=replace(effort, retention_noted=True))

            case _:  # pragma: no cover  # the others are the caller's
                raise AssertionError(action)

    async def _see_to_children(self, state: State) -> None:
        """End the runs that a cancelled run had started, or leave them, and tell of them.

        Raises:
            AirflowError: They are to be ended, and can't be.
        """
        job, run = state.job, state.run
        dag_runs, cancel = self._dag_runs(state), job.spec.cancellation.children is ChildRuns.CANCEL
        try:
            if not (found := await dag_runs.children(run.dag_id, run.run_id)):
                return
            await self.confs.read(state, dag_runs)
        except AirflowError as error:
            if cancel:
                raise
            self._log(state, logging.WARNING, "runs that the cancelled run had started are not known: %s", error)
            return
        ended = [
            child
            for child in found
            if cancel
            and may_be_ended(child, run, self._prefix, allowed=state.around.may_run(state.run.airflow, child.dag_id))
        ]
        for child in ended:
            await dag_runs.cancel(child.dag_id, child.run_id)
            self._log(state, logging.INFO, "cancelled run %s of DAG %s, a child", child.run_id, child.dag_id)
        left = [child for child in found if child not in ended]
        # A task may have put what came from a Secret into the id of a run.
        told = (await self.redaction(state)).outside
        ended, left = (
            [Child(told(each.dag_id), told(each.run_id), each.by_task) for each in group] for group in (ended, left)
        )
        for notice in of_children(ended, left, run.run_id):
            try:
                await self._jobs.record(job, notice)
            except StoreError as error:
                self._log(state, logging.WARNING, "event %s was not recorded: %s", notice.reason, error)

    async def _is_there(self, state: State, number: int) -> bool:
        """Whether Airflow has the ``number``-th run of the MLJob's spec."""
        run = first_attempt(state.inputs, number)
        return await self._dag_runs(state).get(run.dag_id, run.run_id) is not None

    async def _confirm(self, progress: Progress) -> Progress:
        """Make sure that this is the latest version, before anything is changed in Airflow for it: a list or a watch may be behind, and another
        process may have gone on. A patch that changes nothing asks the one who knows: it compares versions first, so an answer that what is stored is
        invalid says that this is the latest.

        Raises:
            Conflict: It is not.
            Gone: It is not there any more.
        """
        assert progress.job is not None
        sent_at = asyncio.get_running_loop().time()
        if sent_at - progress.written_at <= LATEST_FOR:
            return progress
        try:
            latest = await self._jobs.write_status(progress.job, {})
        except Refused:
            latest = progress.job
        return replace(progress, job=latest, written_at=sent_at)

    async def _submit(self, state: State, conf_of: str | None, confirm: backfills.Confirm) -> RunFact:
        """Make the conf, check it, trigger the run."""
        job, dag_id, run_id = state.job, state.run.dag_id, state.run.run_id
        dag_runs = self._dag_runs(state)
        if conf_of is not None:
            conf = await self.confs.reuse(state, await dag_runs.conf(dag_id, conf_of))
        else:
            conf = await self.confs.make(state, dag_runs)
        await confirm()
        return await dag_runs.submit(dag_id, run_id, conf, orphans.note(job.key), job.spec.logical_date)

    def _trouble(self, error: OperatorError, action: Action, state: State) -> Effort:
        """Remember what went wrong, and when to try again."""
        job, effort, now, message = state.job, state.effort, self._clock(), _message(error, state)
        starting = isinstance(action, decisions.CountRuns | decisions.Submit | decisions.ClearFailed)
        if starting:
            effort = replace(effort, kept_by=message)
            if isinstance(error, AirflowError) and error.outcome_unknown:
                effort = replace(effort, unknown_until=now + UNKNOWN_FOR)
        last = effort.trouble
        failures = last.failures + 1 if last and last.reason == error.reason else 1
        # A cancellation is owed whatever Airflow says of it: until its deadline it is tried again.
        stalls = error.stalls and state.cancellation.reason is None
        retry_at = now + timedelta(seconds=backoff(error, failures))
        trouble = Trouble(error.reason, message, job.generation, retry_at, failures, starting, stalls)
        return replace(effort, trouble=trouble)

    def _dag_runs(self, state: State) -> DagRuns:
        """Those of the Airflow that the attempt's run is in, with the credentials of the access rule that the MLJob comes under."""
        return self._airflows.dag_runs(
            state.run.airflow, _user(state), cancelling=state.cancellation.reason is not None
        )

    def _operators_own(self, state: State) -> DagRuns:
        """The same with the Airflow's own credentials: the cancellation DAG acts on runs of all tenants, so no tenant's user needs a right to it."""
        return self._airflows.dag_runs(state.run.airflow, cancelling=state.cancellation.reason is not None)

    def _log(self, state: State, level: int, message: str, *args: object) -> None:
        job = state.job
        log.log(level, message, *args, extra={"namespace": job.namespace, "job": job.name, "run_id": state.run.run_id})


def _message(error: OperatorError, state: State) -> str:
    """What went wrong, with the DAGs that may have been meant where there is none of that name: those of them that the namespace may run."""
    if not isinstance(error, DagNotFound):
        return str(error)
    meant = [dag_id for dag_id in error.similar if state.around.may_run(state.run.airflow, dag_id)]
    return f"{error} Did you mean {' or '.join(meant[:MAX_MEANT])}?" if meant else str(error)


def _announced(job: Job) -> bool:
    """Whether the status speaks of an attempt that it does not say is submitted."""
    status = job.status
    open_attempt = attempts.current(status) is not None and not attempts.closed(status)
    return open_attempt and status.submit_time is None and status.phase not in TERMINAL_PHASES


def _created(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)


def _user(state: State) -> User:
    return User(state.job.namespace, state.run.dag_id)
