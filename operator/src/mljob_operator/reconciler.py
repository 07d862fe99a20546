"""Gather, decide, act, for one MLJob: carries out what :mod:`.core.decisions` decides until there is nothing to do but wait."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from .core import decisions
from .core.decisions import Action, Effort, Release, Situation, Trouble, Wait, decide
from .core.facts import Snapshot
from .core.identity import dag_run_id
from .core.job import Job
from .core.ledger import Ledger, observe
from .core.phases import FINISHED_TASK, TERMINAL_RUN
from .errors import AirflowError, AirflowUnavailable, DagRefused, backoff
from .ports import Clock, DagRuns, JobStore

log = logging.getLogger(__name__)

UNKNOWN_FOR = timedelta(seconds=30)
"""How long a submission without an answer may still take effect: Airflow's api-server has given up on it by then."""

SETTLED_AFTER = timedelta(seconds=10)
"""When the tasks of an ended run are taken as they are. Airflow publishes a run's end before it stores it, so a first list may still show
tasks under way; but a deadlocked run leaves tasks for good that never ran."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where one MLJob stands in this process.

    Attributes:
        job: As last read or written; None when it is gone.
        outputs: What the run's tasks published, once they were asked for.
    """

    job: Job | None
    ledger: Ledger = field(default_factory=Ledger)
    effort: Effort = field(default_factory=Effort)
    outputs: dict[str, Any] | None = None


class Reconciler:
    """Acts on decisions.

    Args:
        dag_runs: Airflow.
        jobs: The Kubernetes API.
        clock: Now.
        prefix: Of dag run ids.
        cancel_fallback: How long the cancellation DAG has before REST does it.
    """

    def __init__(
        self, dag_runs: DagRuns, jobs: JobStore, clock: Clock, *, prefix: str, cancel_fallback: timedelta
    ) -> None:
        self._dag_runs = dag_runs
        self._jobs = jobs
        self._clock = clock
        self._prefix = prefix
        self._cancel_fallback = cancel_fallback

    def run_id(self, job: Job) -> str:
        """The dag run id of the MLJob's run."""
        return job.status.dag_run_id or str(dag_run_id(self._prefix, job.namespace, job.name, job.uid))

    async def advance(self, progress: Progress) -> tuple[Progress, Wait | Release]:
        """Do all that can be done now.

        Raises:
            Conflict: The MLJob has changed meanwhile; read it and advance again.
            StoreError: The Kubernetes API fails.
        """
        while True:
            assert progress.job is not None
            situation = Situation(
                progress.job, progress.ledger, progress.effort, self._clock(), cancel_fallback=self._cancel_fallback
            )
            action = decide(situation)
            if isinstance(action, Wait | Release):
                return progress, action
            try:
                progress = await self._act(action, progress, situation)
            except AirflowError as error:
                self._log(situation.job, logging.WARNING, "%s: %s", error.reason, error)
                progress = replace(progress, effort=self._trouble(error, action, situation))
            else:
                if progress.job is None:
                    return progress, Wait()
                progress = replace(progress, effort=replace(progress.effort, trouble=None))

    async def _act(self, action: Action, progress: Progress, situation: Situation) -> Progress:
        job, ledger, effort = situation.job, progress.ledger, progress.effort
        run_id, dag_id, now = self.run_id(job), situation.dag_id, situation.now
        match action:
            case decisions.AddFinalizer():
                return replace(progress, job=await self._jobs.set_finalizer(job, present=True))

            case decisions.Submit():
                note = f"MLJob {job.namespace}/{job.name}"
                run = await self._dag_runs.submit(job.spec.dag_id, run_id, job.spec.conf, note)
                self._log(job, logging.INFO, "submitted run %s of DAG %s", run_id, job.spec.dag_id)
                return replace(
                    progress,
                    ledger=observe(ledger, Snapshot(now, run=run)),
                    effort=replace(effort, dag_id=job.spec.dag_id),
                )

            case decisions.SearchRun():
                found = await self._dag_runs.search(run_id)
                effort = replace(effort, searched_at=now)
                if found is None:
                    return replace(progress, ledger=replace(ledger, gone=job.deleting), effort=effort)
                dag_id, run = found
                return replace(
                    progress, ledger=observe(ledger, Snapshot(now, run=run)), effort=replace(effort, dag_id=dag_id)
                )

            case decisions.LookUpRun():
                fact = await self._dag_runs.get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now)
                if fact is None:
                    return replace(progress, ledger=replace(ledger, gone=True), effort=effort)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=fact)), effort=effort)

            case decisions.ListTasks():
                fact = await self._dag_runs.get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now, doubt=False)
                if fact is None:
                    return replace(progress, ledger=replace(ledger, gone=True), effort=effort)
                ledger = observe(ledger, Snapshot(now, run=fact))
                asked_at = self._clock()
                tasks = await self._dag_runs.tasks(dag_id, run_id)
                final = fact.state in TERMINAL_RUN and (
                    all(task.state in FINISHED_TASK for task in tasks)
                    or (effort.over_since is not None and asked_at - effort.over_since > SETTLED_AFTER)
                )
                ledger = observe(ledger, Snapshot(asked_at, tasks=tuple(tasks), complete=True, final=final))
                if not ledger.over:
                    return replace(progress, ledger=ledger, effort=effort)
                outputs = await self._dag_runs.outputs(dag_id, run_id)
                effort = replace(effort, over_since=effort.over_since or asked_at)
                return replace(progress, ledger=ledger, effort=effort, outputs=outputs or progress.outputs)

            case decisions.TriggerCancellation():
                reason = f"MLJob {job.namespace}/{job.name} was deleted"
                try:
                    await self._dag_runs.trigger_cancellation(dag_id, run_id, reason)
                except DagRefused as error:
                    self._log(job, logging.WARNING, "cancelling through REST: %s", error)
                    return replace(progress, effort=replace(effort, cancel_dag_refused=str(error)))
                return replace(progress, effort=replace(effort, cancel_dag_at=now))

            case decisions.CheckCancellation():
                running = await self._dag_runs.cancellation_runs(run_id)
                return replace(progress, effort=replace(effort, cancel_dag_checked_at=now, cancel_dag_running=running))

            case decisions.CancelDirectly():
                await self._dag_runs.cancel(dag_id, run_id)
                self._log(job, logging.INFO, "cancelled run %s through REST", run_id)
                return replace(
                    progress,
                    effort=replace(effort, cancelled_directly_at=now, looked_up_at=now - decisions.LOOK_UP_EVERY),
                )

            case _:  # pragma: no cover  # Wait and Release are the caller's
                raise AssertionError(action)

    def _trouble(self, error: AirflowError, action: Action, situation: Situation) -> Effort:
        """Remember what went wrong, and when to try again."""
        job, effort, now = situation.job, situation.effort, self._clock()
        if isinstance(action, decisions.Submit) and isinstance(error, AirflowUnavailable) and error.outcome_unknown:
            effort = replace(effort, unknown_until=now + UNKNOWN_FOR, submitted_generation=job.generation)
        last = effort.trouble
        failures = last.failures + 1 if last and last.reason == error.reason else 1
        # A cancellation is owed whatever Airflow says of it: until its deadline it is tried again.
        stalls = error.stalls and not job.deleting
        retry_at = None if stalls else now + timedelta(seconds=backoff(error, failures))
        return replace(effort, trouble=Trouble(error.reason, str(error), job.generation, retry_at, failures))

    def _log(self, job: Job, level: int, message: str, *args: object) -> None:
        extra = {"namespace": job.namespace, "job": job.name, "run_id": self.run_id(job)}
        log.log(level, message, *args, extra=extra)
