"""Gather, decide, act, for one MLJob: carries out what :mod:`.core.decisions` decides until there is nothing to do but wait."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from . import backfills
from .core import attempts, decisions
from .core.conf import merged, problems, secrets, without
from .core.decisions import Action, Expire, Release, Store, Wait, decide
from .core.effort import Effort, Trouble
from .core.facts import RunFact, Snapshot
from .core.job import Job, Key
from .core.ledger import ABSENCE_TAKES, Ledger, ask, missed, observe
from .core.outputs import Outputs, bounded
from .core.phases import FINISHED_TASK, TERMINAL_PHASES
from .core.places import Claim, Places
from .core.run_key import RunKey
from .core.situation import LIST_AGAIN_AFTER, Situation
from .errors import (
    AirflowError,
    AirflowUnauthorized,
    AirflowUnavailable,
    DagRefused,
    NothingToClear,
    OperatorError,
    ReferenceMissing,
    ValidationFailed,
    backoff,
    blotted,
)
from .ports import Airflows, Clock, DagRuns, JobStore

log = logging.getLogger(__name__)

UNKNOWN_FOR = timedelta(seconds=30)
"""How long a submission without an answer may still take effect: Airflow's api-server has given up on it by then."""

SETTLED_AFTER = timedelta(seconds=10)
"""When the tasks of an ended run are taken as they are. A worker may store the end of its task after the run's end, so a first list may still
show tasks under way; but a deadlocked run leaves tasks for good that never ran."""


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
    outputs: Outputs | None = None


class Reconciler:
    """Acts on decisions.

    Args:
        airflows: Where runs are.
        jobs: The Kubernetes API.
        clock: Now.
        prefix: Of dag run ids.
        cancel_fallback: How long the cancellation DAG has before REST does it.
    """

    def __init__(
        self, airflows: Airflows, jobs: JobStore, clock: Clock, *, prefix: str, cancel_fallback: timedelta
    ) -> None:
        self._airflows = airflows
        self._jobs = jobs
        self._clock = clock
        self._prefix = prefix
        self._cancel_fallback = cancel_fallback
        self._started_at = clock()
        self.places = Places()
        """Who has a run in which Airflow, and who waits for one."""

    def effort(self, job: Job) -> Effort:
        """What is known to have been tried for an MLJob that this process has not seen before.

        A run that was announced and has no answer may be on its way: the process before this one may have died waiting for it.
        """
        announced = attempts.current(job.status) is not None and not attempts.closed(job.status)
        if announced and job.status.submit_time is None and job.status.phase not in TERMINAL_PHASES:
            return Effort(unknown_until=self._started_at + UNKNOWN_FOR)
        return Effort()

    def situation(self, progress: Progress) -> Situation:
        """What there is to decide on, now."""
        assert progress.job is not None
        job = progress.job
        situation = Situation(
            job,
            progress.ledger,
            progress.effort,
            self._clock(),
            prefix=self._prefix,
            cancel_fallback=self._cancel_fallback,
            around=self._airflows.surroundings(job.namespace),
        )
        full = [
            airflow
            for airflow in {situation.airflow, situation.target}
            if self.places.full(job.key, _created(job), airflow, self._airflows.limit(airflow))
        ]
        return replace(situation, around=replace(situation.around, full=full)) if full else situation

    def ui_url(self, airflow: str) -> str | None:
        """An Airflow's base URL for people."""
        return self._airflows.ui_url(airflow)

    def stand(self, situation: Situation) -> None:
        """Give an MLJob the place that it has, or wants, in this situation."""
        self.places.claim(situation.job.key, situation.claim, _created(situation.job))

    def called(self) -> list[Key]:
        """MLJobs for which there has come to be a place."""
        limits = {airflow: self._airflows.limit(airflow) for airflow in self.places.queues()}
        # Without a limit nobody waits for a place.
        return [
            key for airflow, limit in limits.items() if limit is not None for key in self.places.called(airflow, limit)
        ]

    async def advance(self, progress: Progress) -> tuple[Progress, Wait | Store | Release | Expire]:
        """Do all that can be done now.

        Raises:
            Conflict: The MLJob has changed meanwhile; read it and advance again.
            StoreError: The Kubernetes API fails.
        """
        while True:
            situation = self.situation(progress)
            self.stand(situation)
            action = decide(situation)
            if isinstance(action, Wait | Store | Release | Expire):
                return progress, action
            try:
                progress = await self._act(action, progress, situation)
            except (AirflowError, ReferenceMissing) as error:
                self._log(situation, logging.WARNING, "%s: %s", error.reason, error)
                if isinstance(error, AirflowUnavailable | AirflowUnauthorized):
                    self._airflows.doubt(situation.airflow)
                progress = replace(progress, effort=self._trouble(error, action, situation))
            else:
                if progress.job is None:
                    return progress, Wait()
                progress = replace(progress, effort=replace(progress.effort, trouble=None))

    async def _act(self, action: Action, progress: Progress, situation: Situation) -> Progress:
        job, ledger, effort = situation.job, progress.ledger, progress.effort
        run_id, dag_id, now = situation.run_id, situation.dag_id, situation.now
        if isinstance(action, decisions.Submit | decisions.ClearFailed):
            self.places.claim(job.key, Claim(situation.airflow, held=True), _created(job))
        if job.is_backfill and isinstance(action, backfills.Action):
            ledger, effort = await backfills.act(action, situation, self._dag_runs(situation), self._conf, self._clock)
            return replace(progress, ledger=ledger, effort=effort)
        match action:
            case decisions.AddFinalizer():
                return replace(progress, job=await self._jobs.set_finalizer(job, present=True))

            case decisions.CountRuns():
                counted = effort.counted
                while await self._is_there(situation, counted + 1):
                    counted += 1
                since = effort.counted_at if counted == effort.counted and effort.counted_at is not None else now
                newest = counted if now >= since + ABSENCE_TAKES else None
                return replace(progress, effort=replace(effort, counted=counted, counted_at=since, newest=newest))

            case decisions.BeginAttempt(attempt):
                begun = Effort(attempt=attempt, paused=effort.paused, unknown_until=effort.unknown_until)
                another = RunKey(attempt.airflow, attempt.dag_id, attempt.run_id) != situation.run_key
                if another or situation.attempt is None:
                    return replace(progress, ledger=Ledger(), effort=begun, outputs=None)
                run = ledger.run if situation.cleared_in_airflow else None
                ledger = replace(ledger, run=run, heard=None, listed=False, missed_at=None, gone=False, course=None)
                return replace(progress, ledger=ledger, effort=begun)

            case decisions.Submit(conf_of):
                run = await self._submit(situation, conf_of)
                self._log(situation, logging.INFO, "submitted run %s of DAG %s", run_id, dag_id)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=run)))

            case decisions.ClearFailed():
                try:
                    run = await self._dag_runs(situation).clear_failed(
                        dag_id, run_id, since=attempts.run_facts_since(job.status)
                    )
                except NothingToClear:
                    return replace(progress, effort=replace(effort, cleared_nothing=True))
                if run is None:
                    return replace(progress, ledger=missed(ledger, now, effort.unknown_until))
                self._log(situation, logging.INFO, "cleared the failed tasks of run %s of DAG %s", run_id, dag_id)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=run)))

            case decisions.LookUpRun():
                fact = await self._dag_runs(situation).get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now)
                if fact is None:
                    return replace(progress, ledger=missed(ledger, now, effort.unknown_until), effort=effort)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=fact)), effort=effort)

            case decisions.ListTasks():
                looked_at = effort.looked_up_at
                confirmed = ledger.over and looked_at is not None and now < looked_at + LIST_AGAIN_AFTER
                # That it has ended was asked a moment ago.
                fact = ledger.run if confirmed else await self._dag_runs(situation).get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now, doubt=False)
                if fact is None:
                    return replace(progress, ledger=missed(ledger, now, effort.unknown_until), effort=effort)
                ledger = observe(ledger, Snapshot(now, run=fact))
                asked_at = self._clock()
                tasks = await self._dag_runs(situation).tasks(dag_id, run_id)
                final = fact.ended and (
                    all(task.state in FINISHED_TASK for task in tasks)
                    or (effort.over_since is not None and asked_at - effort.over_since > SETTLED_AFTER)
                )
                ledger = observe(ledger, Snapshot(asked_at, tasks=tuple(tasks), complete=True, final=final))
                if not ledger.over:
                    return replace(progress, ledger=ledger, effort=effort)
                outputs = bounded(await self._dag_runs(situation).outputs(dag_id, run_id, job.spec.outputs))
                if outputs.omitted:
                    self._log(situation, logging.WARNING, "outputs that are too large: %s", ", ".join(outputs.omitted))
                effort = replace(effort, over_since=effort.over_since or asked_at)
                return replace(progress, ledger=ledger, effort=effort, outputs=outputs)

            case decisions.ReadQuestions():
                return replace(progress, ledger=ask(ledger, await self._dag_runs(situation).questions(dag_id, run_id)))

            case decisions.TriggerCancellation():
                reason = f"MLJob {job.namespace}/{job.name}: {situation.stop}"
                try:
                    await self._dag_runs(situation).trigger_cancellation(dag_id, run_id, reason)
                except DagRefused as error:
                    self._log(situation, logging.WARNING, "cancelling through REST: %s", error)
                    return replace(progress, effort=replace(effort, cancel_dag_refused=str(error)))
                return replace(progress, effort=replace(effort, cancel_dag_at=now))

            case decisions.CheckCancellation():
                running = await self._dag_runs(situation).cancellation_runs(run_id)
                return replace(progress, effort=replace(effort, cancel_dag_checked_at=now, cancel_dag_running=running))

            case decisions.CancelDirectly():
                await self._dag_runs(situation).cancel(dag_id, run_id)
                self._log(situation, logging.INFO, "cancelled run %s through REST", run_id)
                return replace(
                    progress,
                    effort=replace(effort, cancelled_directly_at=now, looked_up_at=now - decisions.LOOK_UP_EVERY),
                )

            case _:  # pragma: no cover  # the others are the caller's
                raise AssertionError(action)

    async def _is_there(self, situation: Situation, number: int) -> bool:
        """Whether Airflow has the ``number``-th run of the MLJob's spec."""
        run = replace(situation, effort=replace(situation.effort, newest=number)).next_attempt()
        return await self._dag_runs(situation).get(run.dag_id, run.run_id) is not None

    async def _submit(self, situation: Situation, conf_of: str | None) -> RunFact:
        """Make the conf, check it, trigger the run."""
        job, dag_id, run_id = situation.job, situation.dag_id, situation.run_id
        note = f"MLJob {job.namespace}/{job.name}"
        if conf_of is not None:
            return await self._dag_runs(situation).submit(
                dag_id, run_id, await self._dag_runs(situation).conf(dag_id, conf_of), note
            )
        conf, hidden = await self._conf(situation)
        with blotted(hidden):
            return await self._dag_runs(situation).submit(dag_id, run_id, conf, note)

    async def _conf(self, situation: Situation) -> tuple[dict[str, Any], set[str]]:
        """The conf that the spec asks for, found to fit, and the texts in it that must not be told."""
        job, dag_id = situation.job, situation.dag_id
        sources = [
            source for ref in job.spec.conf_from if (source := await self._jobs.source(job.namespace, ref)) is not None
        ]
        try:
            conf, hidden = merged(job.spec.conf, sources), secrets(sources)
        except ValueError as error:
            raise ReferenceMissing(str(error)) from error
        if found := problems(conf, await self._dag_runs(situation).params(dag_id)):
            text = without("; ".join(found), hidden)
            raise ValidationFailed(
                f"The conf does not fit the params of DAG {dag_id!r}: {text}. Change it to try again."
            )
        return conf, hidden

    def _trouble(self, error: OperatorError, action: Action, situation: Situation) -> Effort:
        """Remember what went wrong, and when to try again."""
        job, effort, now = situation.job, situation.effort, self._clock()
        starting = isinstance(action, decisions.CountRuns | decisions.Submit | decisions.ClearFailed)
        if starting:
            effort = replace(effort, kept_by=str(error))
            if isinstance(error, AirflowError) and error.outcome_unknown:
                effort = replace(effort, unknown_until=now + UNKNOWN_FOR)
        last = effort.trouble
        failures = last.failures + 1 if last and last.reason == error.reason else 1
        # A cancellation is owed whatever Airflow says of it: until its deadline it is tried again.
        stalls = error.stalls and situation.stop is None
        retry_at = None if stalls else now + timedelta(seconds=backoff(error, failures))
        return replace(effort, trouble=Trouble(error.reason, str(error), job.generation, retry_at, failures, starting))

    def _dag_runs(self, situation: Situation) -> DagRuns:
        """Those of the Airflow that the attempt's run is in."""
        return self._airflows.dag_runs(situation.airflow)

    def _log(self, situation: Situation, level: int, message: str, *args: object) -> None:
        job = situation.job
        log.log(level, message, *args, extra={"namespace": job.namespace, "job": job.name, "run_id": situation.run_id})


def _created(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)
