"""The actions in Airflow for an MLJob that is not a backfill."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from ...core import orphans
from ...core.mljob import attempts
from ...core.mljob.actions import ClearFailed, Pause, Submit
from ...core.mljob.classification.confirmation import LIST_AGAIN_AFTER
from ...core.mljob.decisions import LOOK_UP_EVERY
from ...core.mljob.tracked import TrackedJob
from ...core.run.facts import RunFact, Snapshot, TaskFact
from ...core.run.observed_run import ObservedRun, observe, observe_absence, precedes_attempt
from ...core.run.outputs import Outputs, bounded, may_be_deleted, without_task
from ...core.run.states import FINISHED_TASK, RunState
from ...errors import NothingToClear, before_effect
from ...ports import Clock
from .actions import ActionContext
from .confs import Confs

FINAL_AFTER = timedelta(seconds=10)
"""The time for which the tasks of an ended run are listed again while some of them are unfinished.
An Airflow worker may store the end of its task after the end of the run, so the first list may show
running tasks. After this time the list counts as final even with unfinished tasks, because a
deadlocked run has tasks that never run.
"""


class RunActions:
    """Implements :class:`.Actions` for an MLJob that is not a backfill.

    Args:
        confs: Builds the confs of runs.
    """

    def __init__(self, confs: Confs, clock: Clock) -> None:
        self._confs = confs
        self._clock = clock

    async def submit(self, context: ActionContext, action: Submit) -> TrackedJob:
        """Trigger the run. If ``action.conf_of`` names an earlier run, use the conf and the logical
        date of the earlier run. Otherwise, build the conf, and check the conf against the DAG's
        params.
        """
        state, run, logical_date = context.state, context.state.run, context.job.spec.logical_date
        with before_effect():
            if action.conf_of is not None:
                earlier = await context.dag_runs.inputs(run.dag_id, action.conf_of)
                conf, logical_date = await self._confs.reuse(state, earlier.conf), earlier.logical_date
                unknown_params = None
            else:
                built = await self._confs.make(state, context.dag_runs)
                conf, unknown_params = built.values, built.unknown_params
        await context.confirm()
        note = orphans.note(context.job.key)
        fact = await context.dag_runs.submit(run.dag_id, run.run_id, conf, note, logical_date)
        context.log(logging.INFO, "submitted run %s of DAG %s", run.run_id, run.dag_id)
        return context.with_result(
            observed_run=observe(context.observed_run, Snapshot(state.now, run=fact)),
            transient=replace(context.transient, unknown_params=unknown_params),
        )

    async def clear_failed(self, context: ActionContext, action: ClearFailed) -> TrackedJob:
        """Clear the run's failed tasks, and the tasks that could not run because of the failed
        tasks. If the run has no failed task, return a :class:`.TrackedJob` with
        ``transient.cleared_nothing=True``.
        """
        run, job = context.state.run, context.job
        await context.confirm()
        try:
            fact = await context.dag_runs.clear_failed(
                run.dag_id,
                run.run_id,
                since=attempts.run_facts_since(job.status),
                latest_version=job.spec.retry_on_latest_version,
            )
        except NothingToClear:
            return context.with_result(transient=replace(context.transient, cleared_nothing=True))
        if fact is not None:
            context.log(logging.INFO, "cleared the failed tasks of run %s of DAG %s", run.run_id, run.dag_id)
        return context.with_result(observed_run=_observed(context, context.observed_run, fact))

    async def look_up(self, context: ActionContext) -> TrackedJob:
        """Request the run's state from Airflow.

        An attempt that is to clear the run of the previous attempt may have to be cancelled before
        the run was cleared. Airflow then still shows the end of the previous attempt. This counts
        as the answer that the attempt has no run.
        """
        run = context.state.run
        fact = await context.dag_runs.get(run.dag_id, run.run_id)
        observed_run = context.observed_run
        if context.state.cancellation.reason is not None and fact is not None and precedes_attempt(observed_run, fact):
            # A run that is in progress has to be cancelled, whenever it was queued.
            fact, observed_run = (None, observed_run) if fact.ended else (fact, replace(observed_run, since=None))
        transient = replace(context.transient, looked_up_at=context.state.now)
        return context.with_result(observed_run=_observed(context, observed_run, fact), transient=transient)

    async def list_tasks(self, context: ActionContext) -> TrackedJob:
        """Request the run's state and tasks from Airflow. If the run has ended, also request the
        run's outputs.
        """
        run, now = context.state.run, context.state.now
        fact = await self._run(context)
        transient = replace(context.transient, looked_up_at=now, needs_look_up=False)
        observed_run = _observed(context, context.observed_run, fact)
        if fact is None:
            return context.with_result(observed_run=observed_run, transient=transient)
        # A list with tasks that follows the outputs shows that the run was not deleted before. But a
        # task may publish outputs until its end.
        early = await self._outputs(context) if _outputs_are_complete(observed_run, fact) else None
        asked_at = self._clock()
        tasks = tuple(await context.dag_runs.tasks(run.dag_id, run.run_id))
        before = observed_run
        final = fact.ended and _are_final(tasks, transient.over_since, asked_at)
        observed_run = observe(observed_run, Snapshot(asked_at, tasks=tasks, complete=True, final=final))
        if not observed_run.over:
            return context.with_result(observed_run=observed_run, transient=transient)
        read = early if early is not None else await self._outputs(context)
        incomplete = fact.state is RunState.SUCCESS and may_be_deleted(context.job.spec.outputs, read)
        # For a deleted run, both the list of tasks and the outputs are empty.
        unproved = not tasks or (early is None and incomplete)
        if unproved and await context.dag_runs.get(run.dag_id, run.run_id) is None:
            # An empty list says nothing about the tasks of a run that was deleted.
            known = observed_run if tasks else before
            if incomplete:
                not_listed = replace(known, listed=False)
                observed_run = observe_absence(not_listed, self._clock(), transient.unknown_until)
                return context.with_result(observed_run=observed_run, transient=transient)
            observed_run = replace(known, listed=True)
        lacking = without_task(context.job.spec.outputs, read, {task.task_id for task in tasks})
        outputs = bounded(read.values, (*read.omitted, *lacking))
        if outputs.omitted:
            context.log(logging.WARNING, "outputs that are left out: %s", ", ".join(outputs.omitted))
        transient = replace(transient, over_since=transient.over_since or asked_at)
        return context.with_result(observed_run=observed_run, transient=transient, outputs=outputs)

    async def _outputs(self, context: ActionContext) -> Outputs:
        """Request the run's outputs from Airflow, and first the run's conf, because the outputs may
        contain values from Secrets.

        The outputs of other runs may delay the answer. The deletion of the MLJob ends the wait,
        because the finalizer of a deleted MLJob whose run has ended is removed without the outputs.

        Raises:
            Conflict: Somebody has deleted the MLJob meanwhile.
        """
        run = context.state.run
        async with context.until_deleted():
            await self._confs.read(context.state, context.dag_runs)
            return await context.dag_runs.outputs(run.dag_id, run.run_id, context.job.spec.outputs)

    async def _run(self, context: ActionContext) -> RunFact | None:
        """Request the run's state from Airflow. Return None if Airflow has no such run. If Airflow
        has confirmed the run's end within the last second (``LIST_AGAIN_AFTER``), return the known
        state without a request.
        """
        run, looked_at = context.state.run, context.transient.looked_up_at
        if context.observed_run.over and looked_at is not None and context.state.now < looked_at + LIST_AGAIN_AFTER:
            return context.observed_run.run
        return await context.dag_runs.get(run.dag_id, run.run_id)

    async def cancel(self, context: ActionContext) -> TrackedJob:
        """Set the run's unfinished task instances to failed, and then set the run to failed. The
        operator also has a DAG whose runs cancel other runs. If a run of this DAG is queued to
        cancel the MLJob's run, set the queued run to failed too.
        """
        run, now = context.state.run, context.state.now
        await context.confirm()
        await context.dag_runs.cancel(run.dag_id, run.run_id)
        await context.operators_dag_runs.drop_cancellation(run.run_id)
        context.log(logging.INFO, "cancelled run %s through REST", run.run_id)
        sent = replace(context.transient.cancel_requests, sent_at=now)
        transient = replace(context.transient, cancel_requests=sent, looked_up_at=now - LOOK_UP_EVERY)
        return context.with_result(transient=transient)

    async def pause(self, context: ActionContext, action: Pause) -> TrackedJob:
        """Do nothing, because only backfills can be paused. To suspend an MLJob that is not a
        backfill, the operator cancels the run instead.
        """
        return context.with_result()


def _observed(context: ActionContext, observed_run: ObservedRun, fact: RunFact | None) -> ObservedRun:
    if fact is None:
        return observe_absence(observed_run, context.state.now, context.transient.unknown_until)
    return observe(observed_run, Snapshot(context.state.now, run=fact))


def _outputs_are_complete(observed_run: ObservedRun, fact: RunFact) -> bool:
    """Return whether no known task publishes further outputs: the run has succeeded, and all its
    known tasks have ended. If no task is known, the result is False.
    """
    states = [task.shown_state for task in observed_run.tasks.values()]
    succeeded = observed_run.over and fact.state is RunState.SUCCESS
    return succeeded and bool(states) and all(state in FINISHED_TASK for state in states)


def _are_final(tasks: tuple[TaskFact, ...], over_since: datetime | None, asked_at: datetime) -> bool:
    """Return whether an ended run's tasks need not be listed again: all tasks have ended, or more
    than ``FINAL_AFTER`` (10 seconds) have passed since ``over_since``. ``over_since`` is the time
    of the first list of the tasks after the run's end, or None.
    """
    late = over_since is not None and asked_at - over_since > FINAL_AFTER
    return late or all(task.state in FINISHED_TASK for task in tasks)
