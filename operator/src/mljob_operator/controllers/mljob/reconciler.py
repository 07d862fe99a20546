"""The reconciler of MLJobs decides and acts, again and again, until the next action is to wait.

:mod:`...core.mljob.decisions` makes the decisions, and this module carries out the actions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mljob_contract.mljob import ChildRuns

from ...core import orphans
from ...core.airflow_instance.admission import AdmissionQueue
from ...core.conf.redaction import Redaction
from ...core.mljob import actions, attempts
from ...core.mljob.actions import Action, Expire, Release, Store, Wait
from ...core.mljob.afterwards import was_cleared
from ...core.mljob.airflow_use import active_reservation, is_reachable, reservation
from ...core.mljob.current import first_attempt
from ...core.mljob.decisions import decide
from ...core.mljob.inputs import Inputs
from ...core.mljob.job import Job
from ...core.mljob.state import State, classify
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import LastError, TransientState
from ...core.run.children import Child, may_be_cancelled
from ...core.run.observed_run import ABSENCE_CONFIRMED_AFTER, ObservedRun, add_questions
from ...core.run.run_key import Key, RunKey
from ...core.run.states import TERMINAL_PHASES
from ...core.run.vanishing import MissingRuns, vanished_message
from ...core.status.disclosure import redacted_state
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
from .actions import ActionContext, Actions, dag_runs_of, log_of, user_of
from .backfill_actions import BackfillActions
from .confs import Confs
from .run_actions import RunActions
from .upstreams import Upstreams

UNKNOWN_FOR = timedelta(seconds=30)
"""The time for which a submission that got no answer may still create a run. After this time,
Airflow's api-server has created the run or has given up the request.
"""

MAX_RUNS_OF_A_SPEC = 1000
"""The maximum number of runs of a spec that are counted for ``runPolicy: OncePerSpec``. If another
service at Airflow's address answers every request with a run, the limit ends the count.
"""

MAX_SUGGESTED = 3
"""The maximum number of DAG ids that a message suggests if the DAG of ``spec.dagId`` does not
exist.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of :meth:`Reconciler.advance`.

    Attributes:
        tracked: The MLJob and its observed run after all actions; None: the MLJob is deleted.
        state: The state for which ``action`` was decided; None if ``tracked`` is None.
        action: The last action, which the caller has to carry out.
    """

    tracked: TrackedJob | None
    state: State | None
    action: Wait | Store | Release | Expire


class Reconciler:
    """Carries out the decisions about MLJobs.

    Args:
        airflows: All Airflows.
        jobs: The MLJobs in the Kubernetes API.
        clock: Returns the current time.
        admission: The MLJobs that have a run in each Airflow, and the MLJobs that wait for
            admission.
        missing_runs: Knows the missing runs of each Airflow, and whether many runs have vanished at
            once.
        confs: Builds the confs of runs, and knows the redaction of their secret values.
        upstreams: Knows the MLJobs whose outputs other MLJobs wait for.
        prefix: The prefix of dag run ids.
        cancel_fallback: How long the cancellation DAG's run may wait for a slot before the operator
            cancels through Airflow's REST API.
        process: A unique name of this process.
    """

    def __init__(
        self,
        airflows: Airflows,
        jobs: JobStore,
        clock: Clock,
        *,
        admission: AdmissionQueue,
        missing_runs: MissingRuns,
        confs: Confs,
        upstreams: Upstreams,
        prefix: str,
        cancel_fallback: timedelta,
        process: str,
    ) -> None:
        self._airflows = airflows
        self._jobs = jobs
        self._clock = clock
        self._prefix = prefix
        self._cancel_fallback = cancel_fallback
        self._process = process
        self._admission = admission
        self._missing_runs = missing_runs
        self._confs = confs
        self._upstreams = upstreams
        self._admitted: list[Key] = []
        self._single_run, self._backfill = RunActions(self._confs, clock), BackfillActions(self._confs, clock)
        self._carry_out: dict[type[Action], Callable[[ActionContext, Any], Awaitable[TrackedJob | None]]] = {
            actions.TakeOver: self._take_over,
            actions.AddFinalizer: self._add_finalizer,
            actions.CountRuns: self._count_runs,
            actions.ReadUpstreams: self._read_upstreams,
            actions.BeginAttempt: self._begin_attempt,
            actions.Submit: lambda context, action: self._actions_of(context).submit(context, action),
            actions.ClearFailed: lambda context, action: self._actions_of(context).clear_failed(context, action),
            actions.Pause: lambda context, action: self._actions_of(context).pause(context, action),
            actions.LookUpRun: lambda context, _: self._actions_of(context).look_up(context),
            actions.ListTasks: lambda context, _: self._actions_of(context).list_tasks(context),
            actions.ReadQuestions: self._read_questions,
            actions.TriggerCancellation: self._trigger_cancellation,
            actions.CheckCancellation: self._check_cancellation,
            actions.CancelDirectly: lambda context, _: self._actions_of(context).cancel(context),
            actions.HandleChildren: self._handle_children,
            actions.NoteRetention: self._note_retention,
        }

    def transient(self, job: Job) -> TransientState:
        """Return the transient state of an MLJob that is new to this process.

        If the status has a run id but no submit time, the previous process may have crashed while
        it waited for the answer to the submission. So the run may still appear in Airflow for
        ``UNKNOWN_FOR``.
        """
        return TransientState(unknown_until=self._clock() + UNKNOWN_FOR) if _announced(job) else TransientState()

    def takeover_state(self, job: Job) -> TransientState | None:
        """Return the transient state for an MLJob whose attempt another process has begun.

        Return None if this process has begun the attempt.
        """
        attempt = attempts.current(job.status)
        if attempt is not None and attempt.submitter == self._process:
            return None
        transient = self.transient(job)
        return replace(transient, left_until=transient.unknown_until)

    def state(self, tracked: TrackedJob) -> State:
        """Classify an MLJob, and return its state at the current time."""
        return classify(self._inputs(tracked))

    def _inputs(self, tracked: TrackedJob) -> Inputs:
        job = tracked.job
        upstreams, upstreams_known_at = self._upstreams.of(job)
        inputs = Inputs(
            job,
            tracked.observed_run,
            tracked.transient,
            self._clock(),
            prefix=self._prefix,
            cancel_fallback=self._cancel_fallback,
            catalog=self._airflows.catalog(job.namespace),
            absence_withheld=self._missing_runs.withholds_absence(job.key),
            upstreams=upstreams,
            upstreams_known_at=upstreams_known_at,
        )
        attempt = tracked.transient.attempt or attempts.current(job.status)
        dag_id = attempt.dag_id if attempt is not None else job.spec.dag_id
        airflows = {attempt.airflow, inputs.target} if attempt is not None else {inputs.target}
        vanished = {
            airflow: vanished_message(airflow) for airflow in airflows if self._missing_runs.have_vanished(airflow)
        }
        full = [airflow for airflow in airflows if self._is_full(inputs, airflow, dag_id)]
        if not vanished and not full:
            return inputs
        not_ready = {**inputs.catalog.not_ready, **vanished}
        return replace(inputs, catalog=replace(inputs.catalog, not_ready=not_ready, full=full))

    def _is_full(self, inputs: Inputs, airflow: str, dag_id: str) -> bool:
        """Return whether the MLJob has to wait, because the Airflow has as many runs as its limits
        allow.
        """
        key, catalog = inputs.job.key, inputs.catalog
        if self._admission.is_admitted(key, airflow):
            return False
        return self._admission.has_to_wait(key, airflow, catalog.rule(airflow, dag_id), catalog.limits(airflow))

    def ui_url(self, airflow: str) -> str | None:
        """Return the base URL of an Airflow's UI, or None if no Airflow has this name."""
        return self._airflows.ui_url(airflow)

    def request_probe(self, airflow: str) -> None:
        """Schedule an early probe of an AirflowInstance, so that its status shows that runs have
        vanished or are back.
        """
        self._airflows.request_probe(airflow)

    def reserve(self, state: State) -> None:
        """Record in the admission queue whether an MLJob has a run or waits for admission, and in
        which Airflow. Also record whether the MLJob's run is missing.
        """
        self._follow(state)
        self._admission.reserve(state.job.key, reservation(state), _created(state.job))

    def _follow(self, state: State) -> bool:
        """Record whether the MLJob's run is missing. Return whether the record may have changed, so
        that the MLJob has to be classified again.
        """
        key = state.job.key
        if not state.current.active or state.observed_run.over:
            return self._missing_runs.forget(key)
        return self._missing_runs.follow(
            key,
            state.run.airflow,
            missed_at=state.observed_run.missed_at,
            answered_at=state.transient.looked_up_at,
            submitted_at=state.job.status.submit_time,
        )

    def forget(self, key: Key) -> None:
        """Forget an MLJob that is deleted or has nothing more to do."""
        self._upstreams.follow(key, ())
        self._admission.release(key)
        self._missing_runs.forget(key)
        self._confs.forget(key)

    def admitted(self) -> list[Key]:
        """Return the MLJobs that were admitted since the last call. The caller has to wake them."""
        for airflow in self._admission.airflows_with_waiting():
            self._admit(airflow)
        admitted, self._admitted = self._admitted, []
        return admitted

    def _admit(self, airflow: str) -> None:
        self._admitted += self._admission.admit(airflow, self._airflows.limits(airflow))

    def _admit_or_wait(self, tracked: TrackedJob) -> State:
        """Admit the MLJob if the limits of its Airflow allow this, and return the MLJob's state
        after that.
        """
        state = self.state(tracked)
        if self._follow(state):
            state = self.state(tracked)
        key, reserved = state.job.key, reservation(state)
        self._admission.reserve(key, reserved, _created(state.job))
        if reserved is None or self._admission.is_admitted(key, reserved.airflow):
            return state
        self._admit(reserved.airflow)
        # This MLJob need not be woken, because it is taking a step.
        self._admitted = [other for other in self._admitted if other != key]
        return self.state(tracked)

    async def advance(self, tracked: TrackedJob) -> Outcome:
        """Decide and act until the action is Wait, Store, Release or Expire.

        The caller carries out these four actions.

        Raises:
            Conflict: The MLJob has changed meanwhile. The caller has to read the MLJob, and call
                this method again.
            StoreError: The Kubernetes API fails.
        """
        while True:
            state = self._admit_or_wait(tracked)
            action = decide(state)
            if isinstance(action, Wait | Store | Release | Expire):
                return Outcome(tracked, state, action)
            context = ActionContext(tracked, state, self._airflows, self._jobs)
            if isinstance(action, actions.Submit | actions.ClearFailed):
                self._admission.reserve(state.job.key, active_reservation(state), _created(state.job))
            try:
                after = await self._carry_out[type(action)](context, action)
            except (AirflowError, ReferenceMissing) as error:
                tracked = await self._failed(context, action, error)
                continue
            if after is None:
                return Outcome(None, None, Wait())
            tracked = (
                after
                if after.transient.last_error is None
                else replace(after, transient=replace(after.transient, last_error=None))
            )

    async def redaction(self, state: State) -> Redaction:
        """Return the redaction for an MLJob's status.

        If the status has texts that may quote the run's conf, the conf is read first, unless
        Airflow is out of reach.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        redaction = self._confs.redaction(state)
        if redaction.complete:
            return redaction
        at = self._confs.read_at(state)
        if at is not None and at <= state.now and is_reachable(state):
            try:
                await self._confs.read(state, dag_runs_of(state, self._airflows))
            except AirflowError as error:
                # The error's message may quote the conf too, so only the reason is logged.
                log_of(
                    state,
                    logging.WARNING,
                    "the status shows no texts of the run, because its conf could not be read: %s",
                    error.reason,
                )
        return self._confs.redaction(state)

    async def _redacted(self, state: State) -> TransientState:
        """Return the transient state of an MLJob, with redacted texts."""
        return redacted_state(state, None, await self.redaction(state))[0].transient

    async def _failed(self, context: ActionContext, action: Action, error: OperatorError) -> TrackedJob:
        """Record and log a failed action, and return the tracked MLJob with the error."""
        state = context.state
        if isinstance(error, AirflowUnavailable | AirflowUnauthorized | AirflowForbidden):
            self._airflows.request_probe(state.run.airflow, user_of(state))
        tracked = context.with_result(transient=self._after_failure(error, action, state))
        redacted = await self._redacted(self.state(tracked))
        if redacted.last_error is not None:
            context.log(logging.WARNING, "%s: %s", redacted.last_error.reason, redacted.last_error.message)
        return tracked

    def _actions_of(self, context: ActionContext) -> Actions:
        """Return the actions for a single run or for a backfill, as the MLJob's type says."""
        return self._backfill if context.job.is_backfill else self._single_run

    async def _take_over(self, context: ActionContext, _: actions.TakeOver) -> TrackedJob:
        attempt = context.state.current.attempt
        assert attempt is not None
        sent_at = asyncio.get_running_loop().time()
        taken = await self._jobs.write_status(context.job, {"submittedBy": self._process})
        # From now on, only this process submits the run. But a request that another process sent
        # earlier may still arrive at Airflow.
        transient = TransientState(
            attempt=replace(attempt, submitter=self._process),
            halt=context.transient.halt,
            unknown_until=self._clock() + UNKNOWN_FOR,
        )
        return context.with_status(taken, sent_at, transient)

    async def _add_finalizer(self, context: ActionContext, _: actions.AddFinalizer) -> TrackedJob | None:
        job = await self._jobs.set_finalizer(context.job, present=True)
        return context.with_metadata(job) if job is not None else None

    async def _read_upstreams(self, context: ActionContext, action: actions.ReadUpstreams) -> TrackedJob:
        await self._upstreams.read(context.job.key, action.names)
        return context.with_result()

    async def _count_runs(self, context: ActionContext, _: actions.CountRuns) -> TrackedJob:
        transient, now = context.transient, context.state.now
        counted = transient.counted
        while await self._has_run(context, counted + 1):
            counted += 1
            if counted >= MAX_RUNS_OF_A_SPEC:
                raise AirflowUnreadable(
                    f"Airflow answers that it has {counted} or more runs of this spec, which can't be. Is it Airflow's api-server?"
                )
        since = transient.counted_at if counted == transient.counted and transient.counted_at is not None else now
        newest = counted if now >= since + ABSENCE_CONFIRMED_AFTER else None
        return context.with_result(transient=replace(transient, counted=counted, counted_at=since, newest=newest))

    async def _has_run(self, context: ActionContext, number: int) -> bool:
        """Return whether Airflow has the run of the MLJob's spec with this number."""
        run = first_attempt(context.state.inputs, number)
        return await context.dag_runs.get(run.dag_id, run.run_id) is not None

    async def _begin_attempt(self, context: ActionContext, action: actions.BeginAttempt) -> TrackedJob:
        state, observed_run = context.state, context.observed_run
        attempt = replace(action.attempt, submitter=self._process)
        begun = TransientState(
            attempt=attempt, halt=context.transient.halt, unknown_until=context.transient.unknown_until
        )
        another = RunKey(attempt.airflow, attempt.dag_id, attempt.run_id) != state.run
        if another or state.current.attempt is None:
            return context.with_new_run(ObservedRun(), begun)
        run = observed_run.run if was_cleared(state) else None
        observed_run = replace(
            observed_run, run=run, reported=None, listed=False, missed_at=None, not_found=False, observed_backfill=None
        )
        return context.with_result(observed_run=observed_run, transient=begun)

    async def _read_questions(self, context: ActionContext, _: actions.ReadQuestions) -> TrackedJob:
        run = context.state.run
        await self._confs.read(context.state, context.dag_runs)
        return context.with_result(
            observed_run=add_questions(context.observed_run, await context.dag_runs.questions(run.dag_id, run.run_id))
        )

    async def _trigger_cancellation(self, context: ActionContext, _: actions.TriggerCancellation) -> TrackedJob:
        state, job = context.state, context.job
        reason = f"MLJob {job.namespace}/{job.name}: {state.cancellation.reason}"
        await context.confirm()
        try:
            await context.operators_dag_runs.trigger_cancellation(state.run.dag_id, state.run.run_id, reason)
        except DagRefused as error:
            refused = replace(context.transient.cancel_requests, dag_refused=str(error))
            tracked = context.with_result(transient=replace(context.transient, cancel_requests=refused))
            redacted = await self._redacted(self.state(tracked))
            context.log(logging.WARNING, "cancelling through REST: %s", redacted.cancel_requests.dag_refused)
            return tracked
        triggered = replace(context.transient.cancel_requests, dag_triggered_at=state.now)
        return context.with_result(transient=replace(context.transient, cancel_requests=triggered))

    async def _check_cancellation(self, context: ActionContext, _: actions.CheckCancellation) -> TrackedJob:
        running = await context.operators_dag_runs.cancellation_runs(context.state.run.run_id)
        checked = replace(context.transient.cancel_requests, dag_checked_at=context.state.now, dag_running=running)
        return context.with_result(transient=replace(context.transient, cancel_requests=checked))

    async def _note_retention(self, context: ActionContext, _: actions.NoteRetention) -> TrackedJob:
        run = context.state.run
        try:
            await context.dag_runs.set_note(run.dag_id, run.run_id, orphans.note_of_retained(context.job.key))
        except AirflowError as error:
            context.log(
                logging.WARNING, "the run's note could not be changed to say that the run is retained: %s", error
            )
        return context.with_result(transient=replace(context.transient, retention_noted=True))

    async def _handle_children(self, context: ActionContext, _: actions.HandleChildren) -> TrackedJob:
        """Cancel the runs that a cancelled run had started, if the spec says so.

        Events name the runs that were cancelled, and the runs that are still active.

        Raises:
            AirflowError: The runs have to be cancelled, and Airflow fails or refuses.
        """
        ended, left = await self._cancel_children(context)
        if ended or left:
            # A task may have put a value from a Secret into the id of a run.
            redact = (await self.redaction(context.state)).untrusted
            ended, left = (
                [Child(redact(child.dag_id), redact(child.run_id), child.by_task) for child in group]
                for group in (ended, left)
            )
            for event in of_children(ended, left, context.state.run.run_id):
                try:
                    await self._jobs.record(context.job, event)
                except StoreError as error:
                    context.log(logging.WARNING, "event %s was not recorded: %s", event.reason, error)
        return context.with_result(transient=replace(context.transient, children_handled=True))

    async def _cancel_children(self, context: ActionContext) -> tuple[list[Child], list[Child]]:
        """Cancel the runs that a cancelled run had started, if the spec says so.

        Returns:
            The runs that were cancelled, and the runs that are still active.
        """
        state = context.state
        cancel = context.job.spec.cancellation.children is ChildRuns.CANCEL
        try:
            found = await context.dag_runs.children(state.run.dag_id, state.run.run_id)
            if not found:
                return [], []
            await self._confs.read(state, context.dag_runs)
        except AirflowError as error:
            if cancel:
                raise
            context.log(logging.WARNING, "the runs that the cancelled run had started could not be read: %s", error)
            return [], []
        ended = [child for child in found if cancel and self._may_cancel(state, child)]
        for child in ended:
            await context.dag_runs.cancel(child.dag_id, child.run_id)
            context.log(
                logging.INFO, "cancelled run %s of DAG %s, which the run had started", child.run_id, child.dag_id
            )
        return ended, [child for child in found if child not in ended]

    def _may_cancel(self, state: State, child: Child) -> bool:
        allowed = state.catalog.may_run(state.run.airflow, child.dag_id)
        return may_be_cancelled(child, state.run, self._prefix, allowed=allowed)

    def _after_failure(self, error: OperatorError, action: Action, state: State) -> TransientState:
        """Return the transient state after a failed action. It has the error and the time of the
        next try.
        """
        job, transient, now, message = state.job, state.transient, self._clock(), _message(error, state)
        starting = isinstance(action, actions.CountRuns | actions.Submit | actions.ClearFailed)
        if starting:
            transient = replace(transient, kept_by=message)
            if isinstance(error, AirflowError) and error.outcome_unknown:
                transient = replace(transient, unknown_until=now + UNKNOWN_FOR)
        last = transient.last_error
        failures = last.failures + 1 if last and last.reason == error.reason else 1
        # A cancellation is retried until its deadline, whatever the error is.
        stalls = error.stalls and state.cancellation.reason is None
        retry_at = now + timedelta(seconds=backoff(error, failures))
        last_error = LastError(error.reason, message, job.generation, retry_at, failures, starting, stalls)
        return replace(transient, last_error=last_error)


def _message(error: OperatorError, state: State) -> str:
    """Return the error's message. If the DAG does not exist, the message suggests similar DAGs.

    The message suggests only DAGs that the MLJob's namespace may run.
    """
    if not isinstance(error, DagNotFound):
        return str(error)
    allowed = [dag_id for dag_id in error.similar if state.catalog.may_run(state.run.airflow, dag_id)]
    return f"{error} Did you mean {' or '.join(allowed[:MAX_SUGGESTED])}?" if allowed else str(error)


def _announced(job: Job) -> bool:
    """Return whether the status announces a run: it has an open attempt without a submit time."""
    status = job.status
    open_attempt = attempts.current(status) is not None and not attempts.closed(status)
    return open_attempt and status.submit_time is None and status.phase not in TERMINAL_PHASES


def _created(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)
