"""Executes the actions that the operator needs to cancel a run, but not to cancel a backfill: the
actions with the cancellation DAG, and the search for runs that the cancelled run's tasks have
started.

The cancellation DAG is a DAG in Airflow. Its runs cancel other runs.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from mljob_contract.mljob import ChildRuns

from ...core.mljob import actions
from ...core.mljob.classification.state import State
from ...core.mljob.tracked import TrackedJob
from ...core.run.children import Child, may_be_cancelled
from ...core.status.events import of_children
from ...errors import AirflowError, DagRefused, StoreError
from ...ports import JobStore
from .actions import ActionContext
from .classifier import Classifier
from .confs import Confs
from .status_redaction import StatusRedaction


class CancellationActions:
    """Executes the actions that the operator needs to cancel a run, but not to cancel a backfill.
    Each method executes one action, and returns the :class:`.TrackedJob` after the action.

    Unless a method's docstring says otherwise, the method raises ``AirflowError`` if a request to
    Airflow fails, and ``StoreError`` if a request to the Kubernetes API fails.
    :meth:`trigger_cancellation` raises the StoreError ``Conflict`` if the MLJob has changed.

    Args:
        jobs: The store that records Kubernetes Events about MLJobs.
        classifier: Determines the states of MLJobs.
        confs: Reads the runs' confs from Airflow.
        redaction: Redacts secret values in texts about a run.
        prefix: The prefix of dag run ids.
    """

    def __init__(
        self, jobs: JobStore, classifier: Classifier, confs: Confs, redaction: StatusRedaction, prefix: str
    ) -> None:
        self._jobs = jobs
        self._classifier = classifier
        self._confs = confs
        self._redaction = redaction
        self._prefix = prefix

    async def trigger_cancellation(self, context: ActionContext, _: actions.TriggerCancellation) -> TrackedJob:
        """Trigger the cancellation DAG for the run. If Airflow can't trigger this DAG
        (``DagRefused``), for example because the DAG is paused, record the reason in the TrackedJob
        and raise no error. A later action then cancels the run through Airflow's REST API.
        """
        state, job = context.state, context.job
        reason = f"MLJob {job.namespace}/{job.name}: {state.cancellation.reason}"
        await context.confirm()
        try:
            await context.operators_dag_runs.trigger_cancellation(state.run.dag_id, state.run.run_id, reason)
        except DagRefused as error:
            refused = replace(context.transient.cancel_requests, dag_refused=str(error))
            tracked = context.with_result(transient=replace(context.transient, cancel_requests=refused))
            redacted = await self._redaction.transient(self._classifier.state(tracked))
            context.log(logging.WARNING, "cancelling through REST: %s", redacted.cancel_requests.dag_refused)
            return tracked
        triggered = replace(context.transient.cancel_requests, dag_triggered_at=state.now)
        return context.with_result(transient=replace(context.transient, cancel_requests=triggered))

    async def check_cancellation(self, context: ActionContext, _: actions.CheckCancellation) -> TrackedJob:
        """Ask Airflow whether a task of the cancellation DAG is cancelling the run now, and record
        the answer in the TrackedJob.
        """
        running = await context.operators_dag_runs.is_cancelling(context.state.run.run_id)
        checked = replace(context.transient.cancel_requests, dag_checked_at=context.state.now, dag_running=running)
        return context.with_result(transient=replace(context.transient, cancel_requests=checked))

    async def handle_children(self, context: ActionContext, _: actions.HandleChildren) -> TrackedJob:
        """Find the active runs that tasks of the cancelled run have started. If
        ``spec.cancellation.children`` is Cancel, cancel the runs for which
        :func:`.may_be_cancelled` returns True.

        Kubernetes Events name the cancelled runs and the runs that are still active. An Event that
        can't be recorded is only logged.

        Raises:
            AirflowError: A request to Airflow fails, and ``spec.cancellation.children`` is Cancel.
                With any other value, the error is only logged.
        """
        ended, left = await self._cancel_children(context)
        if ended or left:
            # A task may have put a value from a Secret into the id of a run.
            redact = (await self._redaction.of(context.state)).untrusted
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
        """Find and cancel runs as :meth:`handle_children` describes. Return the runs that were
        cancelled, and the other runs that were found.
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
