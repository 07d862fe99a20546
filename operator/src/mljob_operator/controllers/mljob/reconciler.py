"""The reconciler decides on actions for an MLJob, and carries the actions out.
:mod:`...core.mljob.decisions` makes the decisions.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ...core.frozen import frozen
from ...core.mljob import actions, attempts
from ...core.mljob.actions import Action, Expire, Release, Store, Wait
from ...core.mljob.classification.state import State
from ...core.mljob.decisions import decide
from ...core.mljob.resource.job import Job
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import LastError, TransientState
from ...core.run.states import TERMINAL_PHASES
from ...errors import (
    AirflowError,
    AirflowForbidden,
    AirflowUnauthorized,
    AirflowUnavailable,
    DagNotFound,
    OperatorError,
    ReferenceMissing,
    backoff,
)
from ...ports import Airflows, Clock, JobStore
from .actions import UNKNOWN_FOR, ActionContext, Actions, UntilDeleted, user_of
from .backfill_actions import BackfillActions
from .cancellation_actions import CancellationActions
from .classifier import Classifier
from .confs import Confs
from .run_actions import RunActions
from .shared_actions import SharedActions
from .status_redaction import StatusRedaction
from .upstreams import Upstreams

MAX_SUGGESTED = 3
"""The maximum number of DAG ids that a message suggests if the DAG of ``spec.dagId`` does not
exist.
"""
MAX_REPETITIONS = 20
"""How many times in a row the same action may be repeated. More repetitions are a defect: the
action has no effect. The error makes the worker pause, so that the defect causes few requests.
"""


@frozen
class Outcome:
    """The result of :meth:`Reconciler.advance`.

    Attributes:
        tracked: The MLJob after all actions, or None if the MLJob does not exist any more.
        state: The state for which ``action`` was decided, or None if ``tracked`` is None.
        action: The last action, which the caller has to carry out. ``Wait`` if ``tracked`` is None.
    """

    tracked: TrackedJob | None
    state: State | None
    action: Wait | Store | Release | Expire


class Reconciler:
    """Decides on actions for an MLJob, and carries the actions out.

    Args:
        airflows: All Airflows.
        jobs: The MLJobs in the Kubernetes API.
        clock: Returns the current time.
        classifier: Determines the states of MLJobs.
        confs: Builds the confs of runs.
        upstreams: The MLJobs whose outputs other MLJobs wait for.
        prefix: The prefix of dag run ids.
        process: A unique name of this process.
    """

    def __init__(
        self,
        airflows: Airflows,
        jobs: JobStore,
        clock: Clock,
        *,
        classifier: Classifier,
        confs: Confs,
        upstreams: Upstreams,
        prefix: str,
        process: str,
    ) -> None:
        self._airflows = airflows
        self._jobs = jobs
        self._clock = clock
        self.classifier = classifier
        """Determines the states of MLJobs, and admits MLJobs to their Airflow."""
        self.redaction = StatusRedaction(airflows, confs)
        """Redacts the texts of statuses and log lines."""
        self._process = process
        self._single_run, self._backfill = RunActions(confs, clock), BackfillActions(confs, clock)
        shared = SharedActions(jobs, clock, confs, upstreams, process)
        cancellation = CancellationActions(jobs, classifier, confs, self.redaction, prefix)
        self._carry_out: dict[type[Action], Callable[[ActionContext, Any], Awaitable[TrackedJob | None]]] = {
            actions.TakeOver: shared.take_over,
            actions.AddFinalizer: shared.add_finalizer,
            actions.CountRuns: shared.count_runs,
            actions.ReadUpstreams: shared.read_upstreams,
            actions.BeginAttempt: shared.begin_attempt,
            actions.Submit: lambda context, action: self._actions_of(context).submit(context, action),
            actions.ClearFailed: lambda context, action: self._actions_of(context).clear_failed(context, action),
            actions.Pause: lambda context, action: self._actions_of(context).pause(context, action),
            actions.LookUpRun: lambda context, _: self._actions_of(context).look_up(context),
            actions.ListTasks: lambda context, _: self._actions_of(context).list_tasks(context),
            actions.ReadQuestions: shared.read_questions,
            actions.TriggerCancellation: cancellation.trigger_cancellation,
            actions.CheckCancellation: cancellation.check_cancellation,
            actions.CancelDirectly: lambda context, _: self._actions_of(context).cancel(context),
            actions.HandleChildren: cancellation.handle_children,
            actions.NoteRetention: shared.note_retention,
        }

    def transient(self, job: Job) -> TransientState:
        """Return the transient state (facts in memory only) for an MLJob on which this process has
        not acted yet.

        If the status has an attempt without a submit time, an earlier process may have crashed
        during the submission. The transient state then says that the run may still appear in
        Airflow within 30 seconds (``UNKNOWN_FOR``).
        """
        return (
            TransientState(unknown_until=self._clock() + UNKNOWN_FOR) if _lacks_submit_time(job) else TransientState()
        )

    def takeover_state(self, job: Job) -> TransientState | None:
        """Return None if the status names this process as the submitter of the MLJob's newest
        attempt. Otherwise return a new transient state (:meth:`transient`). If another process may
        still submit the run, the new state says that this process must not act on the attempt for
        30 seconds (``UNKNOWN_FOR``).
        """
        attempt = attempts.current(job.status)
        if attempt is not None and attempt.submitter == self._process:
            return None
        transient = self.transient(job)
        return replace(transient, left_until=transient.unknown_until)

    def ui_url(self, airflow: str) -> str | None:
        """Return the base URL of an Airflow's UI, or None if no Airflow has this name."""
        return self._airflows.ui_url(airflow)

    def request_probe(self, airflow: str) -> None:
        """Schedule an early probe of an Airflow. The probe checks whether the operator can use the
        Airflow, and updates the status of its AirflowInstance. The credentials of its access rules
        are read again too.
        """
        self._airflows.request_probe(airflow)

    async def advance(self, tracked: TrackedJob, until_deleted: UntilDeleted) -> Outcome:
        """Decide on the next action and carry the action out, repeatedly, until the next action is
        Wait, Store, Release or Expire, or until the MLJob does not exist any more. The caller
        carries out these four actions. An ``AirflowError`` or ``ReferenceMissing`` is recorded in
        ``transient.last_error`` of :attr:`Outcome.tracked` instead of being raised.

        Args:
            tracked: The MLJob.
            until_deleted: :attr:`.ActionContext.until_deleted`.

        Raises:
            Conflict: The MLJob has changed meanwhile. The caller has to read the MLJob, and call
                this method again.
            StoreError: The Kubernetes API fails.
            RuntimeError: The same action was decided more than ``MAX_REPETITIONS`` times in a row.
        """
        before: Action | None = None
        repetitions = 0
        while True:
            state = self.classifier.admit(tracked)
            action = decide(state)
            repetitions = repetitions + 1 if action == before else 0
            if repetitions >= MAX_REPETITIONS:
                raise RuntimeError(f"{action} has no effect: {state.stage}")
            before = action
            if isinstance(action, Wait | Store | Release | Expire):
                return Outcome(tracked, state, action)
            context = ActionContext(tracked, state, self._airflows, self._jobs, until_deleted)
            if isinstance(action, actions.Submit | actions.ClearFailed):
                self.classifier.reserve_run(state)
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

    async def _failed(self, context: ActionContext, action: Action, error: OperatorError) -> TrackedJob:
        state = context.state
        if isinstance(error, AirflowUnavailable | AirflowUnauthorized | AirflowForbidden):
            if isinstance(action, actions.CountRuns):
                self._airflows.request_probe(state.inputs.first_run.airflow, context.next_user)
            else:
                self._airflows.request_probe(state.run.airflow, user_of(state))
        tracked = context.with_result(transient=self._after_failure(error, action, state))
        redacted = await self.redaction.transient(self.classifier.state(tracked))
        if redacted.last_error is not None:
            context.log(logging.WARNING, "%s: %s", redacted.last_error.reason, redacted.last_error.message)
        return tracked

    def _actions_of(self, context: ActionContext) -> Actions:
        return self._backfill if context.job.is_backfill else self._single_run

    def _after_failure(self, error: OperatorError, action: Action, state: State) -> TransientState:
        job, transient, now, message = state.job, state.transient, self._clock(), _message(error, state)
        counting = isinstance(action, actions.CountRuns)
        starting = counting or isinstance(action, actions.Submit | actions.ClearFailed)
        if starting:
            transient = replace(transient, kept_by=message)
            if isinstance(error, AirflowError) and error.outcome_unknown:
                transient = replace(transient, unknown_until=now + UNKNOWN_FOR)
        last = transient.last_error
        failures = last.failures + 1 if last and last.reason == error.reason else 1
        # A cancellation is retried until its deadline, whatever the error is.
        stalls = error.stalls and state.cancellation.reason is None
        retry_at = now + timedelta(seconds=backoff(error, failures))
        last_error = LastError(error.reason, message, job.generation, retry_at, failures, starting, stalls, counting)
        return replace(transient, last_error=last_error)


def _message(error: OperatorError, state: State) -> str:
    if not isinstance(error, DagNotFound):
        return str(error)
    allowed = [dag_id for dag_id in error.similar if state.catalog.may_run(state.run.airflow, dag_id)]
    return f"{error} Did you mean {' or '.join(allowed[:MAX_SUGGESTED])}?" if allowed else str(error)


def _lacks_submit_time(job: Job) -> bool:
    status = job.status
    open_attempt = attempts.current(status) is not None and not attempts.closed(status)
    return open_attempt and status.submit_time is None and status.phase not in TERMINAL_PHASES
