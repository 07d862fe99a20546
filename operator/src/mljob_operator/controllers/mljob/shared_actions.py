"""The actions of the reconciler that are the same for a single run and a backfill, except the
actions of a cancellation, which are in :mod:`.cancellation_actions`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from ...core import orphans
from ...core.mljob import actions
from ...core.mljob.afterwards import was_cleared
from ...core.mljob.identity import dag_run_id, pin
from ...core.mljob.run_count import LONGEST_GAP, RunCount
from ...core.mljob.tracked import TrackedJob
from ...core.mljob.transient_state import TransientState
from ...core.run.facts import RunFact
from ...core.run.observed_run import ABSENCE_CONFIRMED_AFTER, ObservedRun, add_questions
from ...core.run.run_key import RunKey
from ...errors import AirflowError, AirflowUnreadable, before_effect
from ...ports import Clock, JobStore
from .actions import UNKNOWN_FOR, ActionContext
from .confs import Confs
from .upstreams import Upstreams

MAX_RUNS_OF_A_SPEC = 1000
"""The maximum number of runs of a spec that are counted for ``runPolicy: OncePerSpec``. If the
Airflow's URL leads to another service that answers every request with a run, the limit ends the
count.
"""


class SharedActions:
    """Implements the actions that are the same for a single run and a backfill, except the actions
    of a cancellation. Each action returns the :class:`.TrackedJob` after the action.

    An action that sends requests raises ``AirflowError`` if Airflow fails or refuses, ``Conflict``
    if the MLJob has changed, and ``StoreError`` if the Kubernetes API fails.

    Args:
        jobs: The MLJobs in the Kubernetes API.
        clock: Returns the current time.
        confs: Reads the runs' confs from Airflow.
        upstreams: Reads the MLJobs whose outputs other MLJobs wait for.
        process: A unique name of this process.
    """

    def __init__(self, jobs: JobStore, clock: Clock, confs: Confs, upstreams: Upstreams, process: str) -> None:
        self._jobs = jobs
        self._clock = clock
        self._confs = confs
        self._upstreams = upstreams
        self._process = process

    async def take_over(self, context: ActionContext, _: actions.TakeOver) -> TrackedJob:
        """Record in the status that this process submits the run. Before this action, the status
        names another process.
        """
        attempt = context.state.current.attempt
        assert attempt is not None
        sent_at = asyncio.get_running_loop().time()
        taken = await self._jobs.write_status(context.job, {"submittedBy": self._process})
        # The other process begins no submission once it has seen this status. But a request that the
        # other process has sent may still arrive at Airflow.
        transient = TransientState(
            attempt=replace(attempt, submitter=self._process),
            halt=context.transient.halt,
            unknown_until=self._clock() + UNKNOWN_FOR,
        )
        return context.with_status(taken, sent_at, transient)

    async def add_finalizer(self, context: ActionContext, _: actions.AddFinalizer) -> TrackedJob | None:
        """Add the finalizer. Return None if the MLJob does not exist any more."""
        job = await self._jobs.set_finalizer(context.job, present=True)
        return context.with_metadata(job) if job is not None else None

    async def read_upstreams(self, context: ActionContext, action: actions.ReadUpstreams) -> TrackedJob:
        """Read the MLJobs whose outputs go into the conf of the next run."""
        await self._upstreams.read(context.job.key, action.names)
        return context.with_result()

    async def count_runs(self, context: ActionContext, _: actions.CountRuns) -> TrackedJob:
        """Count the runs of the MLJob's spec in Airflow (``runPolicy: OncePerSpec``). Earlier MLJobs
        with the same namespace, name and spec may have started these runs, or earlier attempts that
        are not in the history any more.

        The runs are numbered from 1. Each call continues the count until Airflow answers that the
        runs with the next ``LONGEST_GAP + 1`` (4) numbers do not exist. The count is complete after
        two such answers about the same numbers, at least ``ABSENCE_CONFIRMED_AFTER`` (3 seconds)
        apart.

        Raises:
            AirflowUnreadable: The count reaches ``MAX_RUNS_OF_A_SPEC``.
        """
        inputs, now = context.state.inputs, context.state.now
        before = inputs.run_count or RunCount(inputs.first_run)
        runs, newest_state = before.runs, before.newest_state
        number = runs + 1
        while number <= runs + LONGEST_GAP + 1:
            if (run := await self._run_of_spec(context, number)) is not None:
                runs, newest_state = number, run.state
            if runs >= MAX_RUNS_OF_A_SPEC:
                raise AirflowUnreadable(
                    f"Airflow answers that it has run {runs} of this spec, and no MLJob has so many runs. Is it Airflow's api-server?"
                )
            number += 1
        since = before.missed_at if runs == before.runs and before.missed_at is not None else now
        complete = now >= since + ABSENCE_CONFIRMED_AFTER
        count = RunCount(before.first, runs, newest_state, since, complete)
        return context.with_result(transient=replace(context.transient, run_count=count))

    async def _run_of_spec(self, context: ActionContext, number: int) -> RunFact | None:
        inputs = context.state.inputs
        run_id = dag_run_id(inputs.prefix, inputs.job.namespace, inputs.job.name, pin(inputs.job), number)
        with before_effect():
            return await context.next_dag_runs.get(inputs.first_run.dag_id, str(run_id))

    async def begin_attempt(self, context: ActionContext, action: actions.BeginAttempt) -> TrackedJob:
        """Begin an attempt in memory only. The next action ``Store`` writes the attempt into the
        status.
        """
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
        # The new worker of a finished MLJob knows the tasks from the stored status only. The change
        # feed never lists the tasks that are not cleared, so Airflow has to list all of them.
        begun = replace(begun, needs_look_up=not observed_run.complete)
        return context.with_result(observed_run=observed_run, transient=begun)

    async def read_questions(self, context: ActionContext, _: actions.ReadQuestions) -> TrackedJob:
        """Read from Airflow the questions of tasks that wait for the input of a person (human in
        the loop).
        """
        run = context.state.run
        await self._confs.read(context.state, context.dag_runs)
        return context.with_result(
            observed_run=add_questions(context.observed_run, await context.dag_runs.questions(run.dag_id, run.run_id))
        )

    async def note_retention(self, context: ActionContext, _: actions.NoteRetention) -> TrackedJob:
        """Write into the run's note that the run continues without its MLJob. An error of Airflow
        is only logged.
        """
        run = context.state.run
        try:
            await context.dag_runs.set_note(run.dag_id, run.run_id, orphans.note_of_retained(context.job.key))
        except AirflowError as error:
            context.log(
                logging.WARNING, "the run's note could not be changed to say that the run is retained: %s", error
            )
        return context.with_result(transient=replace(context.transient, retention_noted=True))
