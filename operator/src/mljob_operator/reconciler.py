"""Gather, decide, act, for one MLJob: carries out what :mod:`.core.decisions` decides until there is nothing to do but wait."""

from __future__ import annotations

import asyncio
import logging
import secrets as random
from collections.abc import Awaitable, Callable
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
from .core.ledger import Ledger, ask, observe
from .core.outputs import Outputs, bounded
from .core.phases import FINISHED_TASK, TERMINAL_PHASES, TERMINAL_RUN
from .core.places import Claim, Places
from .core.situation import Situation
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

LATEST_FOR = 2.0
"""Seconds for which a version that the API server has confirmed is taken for the latest. A submission that is sent by then has arrived, or never will,
``UNKNOWN_FOR`` after another process has changed the MLJob."""

SETTLED_AFTER = timedelta(seconds=10)
"""When the tasks of an ended run are taken as they are. Airflow publishes a run's end before it stores it, so a first list may still show
tasks under way; but a deadlocked run leaves tasks for good that never ran."""


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
        process: str | None = None,
    ) -> None:
        self._airflows = airflows
        self._jobs = jobs
        self._clock = clock
        self._prefix = prefix
        self._cancel_fallback = cancel_fallback
        self._process = process or random.token_hex(4)
        self.places = Places()
        """Who has a run in which Airflow, and who waits for one."""

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

        async def confirm() -> None:
            nonlocal progress
            progress = await self._confirm(progress)

        if job.is_backfill and isinstance(action, backfills.Action):
            ledger, effort = await backfills.act(
                action, situation, self._dag_runs(situation), self._conf, confirm, self._clock, SETTLED_AFTER
            )
            return replace(progress, ledger=ledger, effort=effort)
        match action:
            case decisions.TakeOver():
                assert situation.attempt is not None
                sent_at = asyncio.get_running_loop().time()
                taken = await self._jobs.write_status(job, {"submittedBy": self._process})
                # From here on no other process submits the run. What one has sent before may be under way.
                effort = Effort(
                    attempt=replace(situation.attempt, submitter=self._process),
                    paused=effort.paused,
                    unknown_until=self._clock() + UNKNOWN_FOR,
                )
                return replace(progress, job=taken, effort=effort, written_at=sent_at)

            case decisions.AddFinalizer():
                return replace(progress, job=await self._jobs.set_finalizer(job, present=True))

            case decisions.CountRuns():
                newest = 0
                while True:
                    following = replace(situation, effort=replace(effort, newest=newest + 1)).next_attempt()
                    if await self._dag_runs(situation).get(following.dag_id, following.run_id) is None:
                        return replace(progress, effort=replace(effort, newest=newest))
                    newest += 1

            case decisions.BeginAttempt(next_one):
                attempt = replace(next_one, submitter=self._process)
                begun = Effort(attempt=attempt, paused=effort.paused, unknown_until=effort.unknown_until)
                elsewhere = attempt.airflow != situation.airflow
                if attempt.run_id != run_id or elsewhere or situation.attempt is None:
                    return replace(progress, ledger=Ledger(), effort=begun, outputs=None)
                run = ledger.run if situation.cleared_in_airflow else None
                ledger = replace(ledger, run=run, listed=False, gone=False, course=None)
                return replace(progress, ledger=ledger, effort=begun)

            case decisions.Submit(conf_of):
                run = await self._submit(situation, conf_of, confirm)
                self._log(situation, logging.INFO, "submitted run %s of DAG %s", run_id, dag_id)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=run)))

            case decisions.ClearFailed():
                await confirm()
                try:
                    run = await self._dag_runs(situation).clear_failed(
                        dag_id, run_id, since=attempts.run_facts_since(job.status)
                    )
                except NothingToClear:
                    return replace(progress, effort=replace(effort, cleared_nothing=True))
                self._log(situation, logging.INFO, "cleared the failed tasks of run %s of DAG %s", run_id, dag_id)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=run)))

            case decisions.LookUpRun():
                fact = await self._dag_runs(situation).get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now)
                if fact is None:
                    return replace(progress, ledger=replace(ledger, gone=True), effort=effort)
                return replace(progress, ledger=observe(ledger, Snapshot(now, run=fact)), effort=effort)

            case decisions.ListTasks():
                fact = await self._dag_runs(situation).get(dag_id, run_id)
                effort = replace(effort, looked_up_at=now, doubt=False)
                if fact is None:
                    return replace(progress, ledger=replace(ledger, gone=True), effort=effort)
                ledger = observe(ledger, Snapshot(now, run=fact))
                asked_at = self._clock()
                tasks = await self._dag_runs(situation).tasks(dag_id, run_id)
                final = fact.state in TERMINAL_RUN and (
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
                await confirm()
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
                await confirm()
                await self._dag_runs(situation).cancel(dag_id, run_id)
                self._log(situation, logging.INFO, "cancelled run %s through REST", run_id)
                return replace(
                    progress,
                    effort=replace(effort, cancelled_directly_at=now, looked_up_at=now - decisions.LOOK_UP_EVERY),
                )

            case _:  # pragma: no cover  # the others are the caller's
                raise AssertionError(action)

    async def _confirm(self, progress: Progress) -> Progress:
        """Make sure that this is the latest version, before anything is changed in Airflow for it: a list or a watch may be behind, and another
        process may have gone on. A patch that changes nothing asks the one who knows.

        Raises:
            Conflict: It is not.
            Gone: It is not there any more.
        """
        assert progress.job is not None
        sent_at = asyncio.get_running_loop().time()
        if sent_at - progress.written_at <= LATEST_FOR:
            return progress
        return replace(progress, job=await self._jobs.write_status(progress.job, {}), written_at=sent_at)

    async def _submit(
        self, situation: Situation, conf_of: str | None, confirm: Callable[[], Awaitable[None]]
    ) -> RunFact:
        """Make the conf, check it, trigger the run."""
        job, dag_id, run_id = situation.job, situation.dag_id, situation.run_id
        note = f"MLJob {job.namespace}/{job.name}"
        hidden: set[str] = set()
        if conf_of is not None:
            conf = await self._dag_runs(situation).conf(dag_id, conf_of)
        else:
            conf, hidden = await self._conf(situation)
        await confirm()
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


def _announced(job: Job) -> bool:
    """Whether the status speaks of an attempt that it does not say is submitted."""
    status = job.status
    open_attempt = attempts.current(status) is not None and not attempts.closed(status)
    return open_attempt and status.submit_time is None and status.phase not in TERMINAL_PHASES


def _created(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)
