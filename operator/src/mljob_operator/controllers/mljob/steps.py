"""Runs the steps of an MLJob's worker. A step takes the input from the worker's inbox, carries out
actions (:meth:`.Reconciler.advance`), writes the status, and then acknowledges the Kafka messages
of the input.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from mljob_contract.mljob import FINISHED

from ...core.mljob.actions import Action, Expire, Release, Store, Wait
from ...core.mljob.afterwards import arrived_late
from ...core.mljob.classification.state import State
from ...core.mljob.outstanding import is_done
from ...core.mljob.resource import finished
from ...core.mljob.resource.job import Job
from ...core.mljob.tracked import TrackedJob
from ...core.run.run_key import Key
from ...core.run.states import TERMINAL_PHASES
from ...core.status.significance import REFINEMENT_WAITS
from ...errors import Conflict, FieldsDropped, Gone, Refused, StoreError, backoff
from ...logs import redacted_logger
from ...ports import Clock, JobStore
from .conf_sources import ConfSources, waited_for
from .confs import Confs
from .look_ups import LookUps
from .reconciler import Outcome, Reconciler
from .status_writer import Patch, StatusWriter, difference, extra, priority_of
from .worker_state import WorkerState
from .write_queue import Priority

log = redacted_logger(__name__)

LONGEST_PAUSE = 60.0
"""The longest time until the next step after an unexpected error, in seconds."""

_RECEIPTS = ("lastHandledRetry", "upstreams")
"""The fields of a status that the operator stores before it submits a run, and that an older CRD
does not have.
"""


class Steps:
    """Runs the steps of workers. A worker runs one step at a time.

    Args:
        reconciler: Decides on actions for an MLJob, and carries the actions out.
        jobs: The MLJobs in the Kubernetes API.
        writer: Stores statuses.
        conf_sources: Watches the ConfigMaps and Secrets that MLJobs wait for.
        confs: Knows the values from Secrets, which must be hidden in messages.
        look_ups: Limits the requests for MLJobs that were not read yet.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        jobs: JobStore,
        writer: StatusWriter,
        conf_sources: ConfSources,
        confs: Confs,
        look_ups: LookUps,
        clock: Clock,
    ) -> None:
        self._reconciler = reconciler
        self._jobs = jobs
        self._writer = writer
        self._conf_sources = conf_sources
        self._confs = confs
        self._look_ups = look_ups
        self._clock = clock

    async def take(self, key: Key, worker: WorkerState) -> float | None:
        """Run one step of an MLJob's worker. If the step fails, the next step repeats the work.

        Returns:
            The seconds until the next step. None if the next step waits for input or follows at
            once (``worker.needs_step``), or if no step follows.
        """
        try:
            return await self._taken(key, worker)
        finally:
            self._writer.end_step(key, waits=worker.awaits_turn and not worker.failures)

    async def _taken(self, key: Key, worker: WorkerState) -> float | None:
        worker.awaits_turn = False
        try:
            until = await self._step(key, worker)
        except Conflict as conflict:
            return await self._read_again(key, worker, conflict)
        except Gone:
            worker.tracked = None
            worker.forget()
            return None
        except StoreError as error:
            if isinstance(error, Refused):
                self._start_over(worker, error)
            worker.failures += 1
            delay = backoff(error, worker.failures)
            log.warning("%s/%s: %s; again in %.1f s", *key, error, delay, extra=extra(key))
            return delay
        except Exception:
            # A defect with one MLJob must not stop other MLJobs. The step is repeated after a
            # growing delay.
            worker.failures += 1
            log.exception("%s/%s: unexpected error", *key, extra=extra(key))
            return min(LONGEST_PAUSE, 2.0 ** min(worker.failures, 6))
        worker.failures = 0
        return until

    async def _read_again(self, key: Key, worker: WorkerState, refused: Conflict) -> float | None:
        """Read the MLJob again after a Conflict. Return the seconds until the next step, or None if
        the next step follows at once.
        """
        before = worker.job
        error: StoreError = refused
        try:
            latest = await self._jobs.get(key)
        except StoreError as failed:
            latest, error = None, failed
        if before is not None and latest is not None:
            worker.accept(latest, before)
        worker.needs_step = True
        if worker.job is not before:
            return None
        worker.failures += 1
        if worker.failures == 1:
            # The watch may have delivered the latest version before the Conflict arrived, so the
            # first repetition of the step follows without a delay.
            return None
        delay = backoff(error, worker.failures - 1)
        log.warning(
            "%s/%s: the latest version could not be read: %s; again in %.1f s", *key, error, delay, extra=extra(key)
        )
        return delay

    async def _step(self, key: Key, worker: WorkerState) -> float | None:
        try:
            # The watch may have delivered the MLJob after the worker had begun the look-up.
            found = await self._jobs.get(key) if worker.tracked is None else None
        finally:
            self._look_ups.end(key)
        # worker.tracked is checked again, because the watch may have delivered the MLJob during the
        # request.
        if found is not None and worker.tracked is None:
            worker.begin(found, self._reconciler.transient(found))
        if worker.tracked is None:
            worker.forget()
            return None
        if _is_new(worker.tracked.job) and self._writer.joins_queue(key, Priority.FIRST):
            # In a burst of new MLJobs, a step that waits for its first write would keep memory.
            worker.awaits_turn = True
            return None
        state = worker.last_state(self._reconciler.classifier.state)
        if _needs_no_step(worker, state):
            # The input arrived after the end of the MLJob, and does not change the status.
            worker.forget()
            return None
        worker.fold_inbox(state)
        ended = await self._advance(worker)
        if ended is None:
            return None
        state, action = ended
        if not worker.awaits_turn:
            worker.acknowledge()
        self._report_contradictions(worker, state)
        if isinstance(action, Release):
            return await self._release(worker, state, action)
        if isinstance(action, Expire):
            await self._jobs.delete(state.job)
            log.info("%s/%s: deleted after its ttlSecondsAfterFinished", *key, extra=extra(key))
            return None
        worker.state = state
        self._conf_sources.follow(key, waited_for(state))
        return self._seconds_until_next_step(worker, state, action)

    async def _advance(self, worker: WorkerState) -> tuple[State, Action] | None:
        """Carry out actions and write the status, until the next action is Wait, Release or Expire.
        Return the MLJob's State and this next action, which the caller has to carry out.

        Return None if the MLJob was deleted meanwhile. Also return None if another process has
        begun an attempt or ended the MLJob meanwhile.
        """
        while True:
            before, begin_count = worker.tracked, worker.begin_count
            assert before is not None
            outcome = await self._reconciler.advance(before, partial(worker.until_deleted, before.job))
            if not worker.accept(outcome.tracked.job if outcome.tracked is not None else None, before.job):
                # The MLJob was deleted meanwhile. If the watch has delivered a new MLJob of the
                # same name, the next step handles the new MLJob.
                return None
            if worker.begin_count != begin_count:
                # Another process has begun an attempt meanwhile, so the outcome belongs to an
                # earlier attempt and is dropped.
                worker.needs_step = True
                return None
            assert outcome.tracked is not None
            assert outcome.state is not None
            tracked = worker.keep(outcome.tracked)
            state = outcome.state if tracked is outcome.tracked else self._reconciler.classifier.state(tracked)
            action = outcome.action
            stores = isinstance(action, Store)
            try:
                written = await self._write(worker, state, action)
            except Refused as error:
                if worker.job is None or worker.job.uid != before.job.uid:
                    return None
                if not (isinstance(action, Release) and before.job.deleting):
                    raise
                # The MLJob is being deleted, so its status is not needed any more.
                self._start_over(worker, error)
                return state, action
            if worker.tracked is None or worker.tracked.job.uid != before.job.uid:
                return None
            if _is_outdated(outcome, state, written, worker.tracked.job):
                continue
            if stores and written is None:
                raise RuntimeError(f"the status has to be stored, but has no change: {state.stage}")
            # The stored status may have started a deadline, the time to live, or the backoff of a
            # requested retry. In this case the loop goes on, so that the next decision takes the
            # new time into account.
            if not stores and not (written and _limit_inputs(before.job) != _limit_inputs(worker.tracked.job)):
                return _with_stored_job(state, worker.tracked), action

    async def _write(self, worker: WorkerState, state: State, action: Action) -> Job | None:
        """Store the status if it has changed. Return the stored version of the MLJob, or None if
        nothing was stored.

        The write is left to a later step in two cases:

        - The change only makes values more exact, and is younger than ``REFINEMENT_WAITS`` (5
          seconds). If the action is ``Store``, such a change is stored at once.
        - The action is ``Wait``, and it is not the MLJob's turn in the queue of writes.
        """
        worker.awaits_turn = False
        job = state.job
        redaction = await self._reconciler.redaction.of(state)
        assert worker.tracked is not None
        patch = difference(
            state,
            worker.tracked.outputs,
            ui_url=self._reconciler.ui_url(state.run.airflow),
            redaction=redaction,
            run_tasks=worker.run_tasks,
        )
        if patch is None:
            worker.refining_since = None
            return None
        if not isinstance(action, Store) and not patch.urgent:
            worker.refining_since = worker.refining_since or self._clock()
            if self._clock() < worker.refining_since + REFINEMENT_WAITS:
                return None
        priority = priority_of(state, patch, action)
        if isinstance(action, Wait) and not self._writer.has_turn(job.key, priority):
            worker.awaits_turn = True
            return None
        worker.refining_since = None
        worker.writing = True
        try:
            written, sent_at = await self._writer.store(job, patch, priority)
            worker.accept(written, job)
        except StoreError:
            worker.drop_outdated_run(job)
            raise
        finally:
            worker.writing = False
        _require_stored(patch, written)
        worker.written_at = sent_at
        if worker.tracked is not None:
            transient = worker.tracked.transient
            if transient.refused:
                transient = replace(transient, refused=False)
            worker.tracked = replace(worker.tracked, transient=transient, confirmed_at=sent_at)
        return written

    def _start_over(self, worker: WorkerState, error: Refused) -> None:
        if worker.tracked is None:
            return
        job, refused_before = worker.tracked.job, worker.tracked.transient.refused
        redaction = self._confs.redaction_of(job)
        self._writer.report_refusal(job, error, redaction, first=not refused_before)
        worker.start_over()

    def _report_contradictions(self, worker: WorkerState, state: State) -> None:
        before, worker.contradicted = worker.contradicted, state.observed_run.contradicted
        if new := worker.contradicted - before:
            self._writer.report_contradiction(state, len(new), first=not before)

    async def _release(self, worker: WorkerState, state: State, action: Release) -> float | None:
        if worker.tracked is None:
            return None
        # If the MLJob changes before the write, the write ends with a Conflict.
        job = state.job
        if action.abandoned and not worker.abandonment_reported:
            # The step may be repeated, because the write below may fail.
            worker.abandonment_reported = True
            await self._writer.report_abandonment(state, self._confs.redaction(state))
        if job.has_finalizer:
            ended = None if job.deleting else finished.record(job.status)
            annotations = {FINISHED: ended} if ended is not None else None
            worker.accept(await self._jobs.set_finalizer(job, present=False, annotations=annotations), job)
        # An MLJob that waits for its next run needs another step, which sets a timer for its deadlines.
        # A finished MLJob with a time to live needs a timer for its deletion.
        left = worker.job
        if left is None or (is_done(left) and left.spec.ttl_seconds_after_finished is None):
            return None
        return 0.0

    def _seconds_until_next_step(self, worker: WorkerState, state: State, action: Action) -> float | None:
        # An MLJob that waits in the queue of writes is woken at its turn. A step before that turn could
        # not store the status either.
        refining_since = None if worker.awaits_turn else worker.refining_since
        times = [
            action.until if isinstance(action, Wait) else None,
            refining_since + REFINEMENT_WAITS if refining_since is not None else None,
            self._confs.read_at(state),
        ]
        due = min((at for at in times if at is not None), default=None)
        return None if due is None else max(0.0, (due - self._clock()).total_seconds())


def _is_outdated(outcome: Outcome, state: State, written: Job | None, latest: Job) -> bool:
    """Return whether the operator has to decide again, because the MLJob has changed since the
    decision. For example, another process has stored the same status, or a user has changed
    deletionPolicy from Retain to Cancel and wants the run to be cancelled before the MLJob is gone.

    After a decision to wait, False is returned, because the change leads to another step anyway.

    Args:
        outcome: The decision.
        state: The state of the latest version that was known before the status was written.
        written: The version with the written status, or None if nothing was written.
        latest: The latest version that is known now.
    """
    has_changed = state is not outcome.state
    if isinstance(outcome.action, Store):
        return has_changed and written is None
    return isinstance(outcome.action, Release | Expire) and (has_changed or latest is not (written or state.job))


def _is_new(job: Job) -> bool:
    return job.status.phase is None and not job.deleting


def _needs_no_step(worker: WorkerState, state: State) -> bool:
    ttl = state.job.spec.ttl_seconds_after_finished
    return is_done(state.job) and not worker.inbox.snapshots and ttl is None and not arrived_late(state)


def _require_stored(patch: Patch, written: Job) -> None:
    """Check that the Kubernetes API server has stored the fields that an old CRD does not have.
    Without ``lastHandledRetry``, for example, the operator would begin two attempts for one request
    for a retry.

    Raises:
        FieldsDropped: The API server has dropped a field.
    """
    dropped = [f"status.{name}" for name in _RECEIPTS if patch.content.get(name) and name not in written.stored.content]
    if dropped:
        raise FieldsDropped(
            f"the API server does not store {' and '.join(dropped)}, so the run is not submitted: "
            "the CRD of MLJobs is older than the operator. Apply the CRDs of the operator's version"
        )


def _with_stored_job(state: State, tracked: TrackedJob) -> State:
    inputs = replace(state.inputs, job=tracked.job, observed_run=tracked.observed_run, transient=tracked.transient)
    return replace(state, inputs=inputs)


def _limit_inputs(job: Job) -> tuple[datetime | None, bool]:
    """Return two values on which time limits of the MLJob depend: the time from which
    ``activeDeadlineSeconds`` counts (or None), and whether the MLJob has finished. When the MLJob
    finishes, its ``ttlSecondsAfterFinished`` begins to count.
    """
    return job.status.active_since, job.status.phase in TERMINAL_PHASES
