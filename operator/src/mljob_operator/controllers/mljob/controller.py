"""The controller of MLJobs. Each MLJob has one worker, which receives all input about the MLJob.

Input comes from the watch, from Kafka and from Airflow's REST API. Only the worker writes the
status, so no lock is needed.

Input that arrives during a step waits in the worker's inbox, and the next step takes the whole
inbox. So a burst of events causes few patches. The first event is written at once, and the next
patch, at least ``min_interval`` seconds later, has all events that have arrived since then. Each
fact from a Kafka message comes with a callback ``done``, which the worker calls when the status
that holds the fact is stored.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from ...core.airflow_instance.admission import AdmissionQueue
from ...core.airflow_instance.catalog import AIRFLOW_GONE
from ...core.mljob.activity import is_hot
from ...core.mljob.airflow_use import is_lost, needs_airflow
from ...core.mljob.deadlines import expires_at
from ...core.mljob.job import Job
from ...core.mljob.outstanding import is_done
from ...core.mljob.state import State
from ...core.mljob.transient_state import TransientState
from ...core.run.backfill import BackfillRun
from ...core.run.facts import RunFact, Snapshot, TaskFact
from ...core.run.halt import Halt
from ...core.run.observed_run import started_by
from ...core.run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from ...core.run.vanishing import MissingRuns, vanished_message
from ...logs import redacted_logger, redacting
from ...ports import Clock, JobStore, Meter, SourceChanges
from .backfill_index import BackfillIndex
from .conf_sources import ConfSources
from .confs import Confs
from .expiries import Expiries, Expiry
from .reconciler import Reconciler
from .status_writer import StatusWriter
from .steps import Steps
from .upstreams import Upstreams, waited_for
from .worker_state import Done, WorkerState

log = redacted_logger(__name__)

T = TypeVar("T")

MAX_CHECKED_RUNS = 10_000
"""The maximum number of runs without a worker that are remembered as checked
(:meth:`MLJobController.show`). A run that is not remembered is checked again when it appears in the
change feed.
"""


LAST_STEPS = 1.0
"""The longest time in seconds for the steps that are being taken when the process is told to end.
Most take milliseconds. Another replica waits for them, and may act within 2 seconds. It does again
what a step has not completed.
"""


class MLJobController:
    """Passes input to the workers of all MLJobs, and wakes the workers. All methods run in the
    event loop's thread.

    Args:
        reconciler: Decides and acts.
        jobs: The MLJobs in the Kubernetes API.
        changes: Watches the ConfigMaps and Secrets that MLJobs wait for.
        admission: The MLJobs that have a run in each Airflow, and the MLJobs that wait for
            admission.
        missing_runs: Knows the missing runs of each Airflow.
        confs: Knows the redaction of secret values, for log lines.
        upstreams: Knows the MLJobs whose outputs other MLJobs wait for.
        min_interval: The minimum number of seconds between two patches of one status.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        jobs: JobStore,
        clock: Clock,
        meter: Meter,
        changes: SourceChanges,
        *,
        admission: AdmissionQueue,
        missing_runs: MissingRuns,
        confs: Confs,
        upstreams: Upstreams,
        min_interval: float,
    ) -> None:
        self._reconciler = reconciler
        self._admission = admission
        self._missing_runs = missing_runs
        self._confs = confs
        self._upstreams = upstreams
        self._clock = clock
        self._meter = meter
        self._min_interval = min_interval
        self._writer = StatusWriter(jobs, meter)
        self._conf_sources = ConfSources(changes, self._retry_now)
        self._steps = Steps(reconciler, jobs, self._writer, self._conf_sources, confs, clock)
        self._workers: dict[Key, WorkerState] = {}
        self._expiries = Expiries(self._wake)
        self._checked_runs: dict[RunKey, datetime | None] = {}
        self._backfills = BackfillIndex()
        self._closing = self._holds_steps = False
        self._early_passes: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._vanished: set[str] = set()

    @contextmanager
    def hold_steps(self) -> Iterator[None]:
        """Let no worker take a step within this context.

        After its start, the operator lists the MLJobs within this context. Until the list is
        complete, the number of active runs is not known, so no MLJob may be admitted.
        """
        self._holds_steps = True
        try:
            yield
        finally:
            self._holds_steps = False
            for key, worker in list(self._workers.items()):
                if worker.needs_step:
                    self._wake(key)

    # Input

    def observe(self, job: Job) -> None:
        """Handle a version of an MLJob from the watch."""
        for waiting in self._upstreams.observe(job):
            self._retry_now(waiting)
        worker = self._workers.get(job.key)
        if worker is None:
            if is_done(job):
                expires = expires_at(job)
                if expires is not None and not self._expiries.covers(job):
                    self._expiries.begin((expires - self._clock()).total_seconds(), job)
                return
            worker = self._workers[job.key] = WorkerState(self._reconciler.takeover_state)
            worker.begin(job, self._reconciler.transient(job))
            # The MLJob enters the admission queue before its first step. So MLJobs are admitted in
            # the order of the queue, and not in the order of their first steps.
            self._of_each(self._reserve, [job.key])
            self._wake(job.key)
            return
        current, begin_count = worker.job, worker.begin_count
        if current is None:
            worker.begin(job, self._reconciler.transient(job))
        elif not job.newer_than(current):
            return
        elif current.uid != job.uid:
            # The MLJob was deleted and created again while the watch was interrupted.
            worker.forget()
            worker.begin(job, TransientState())
        else:
            worker.update(job)
        # Most versions result from the operator's own status patches, and need no step. A step is
        # needed after a change of the spec, of the deletion, of the finalizer or of the requested
        # retry. A requested retry also ends the backoff of a request that failed.
        if current is not None and current.retry_request != job.retry_request:
            self._forget_last_error(job.key)
        elif (
            current is None
            or worker.begin_count != begin_count
            or (current.generation, current.deleted_at, current.has_finalizer)
            != (job.generation, job.deleted_at, job.has_finalizer)
        ):
            self._wake(job.key)

    def observe_deletion(self, key: Key, uid: str) -> None:
        """Handle the deletion of the MLJob with this uid, which the watch has reported."""
        self._expiries.end(key, uid)
        for waiting in self._upstreams.observe_deletion(key, uid):
            self._retry_now(waiting)
        worker = self._workers.get(key)
        if worker is not None and worker.job is not None and worker.job.uid == uid:
            worker.forget()
            self._drop(key)
            self._report_vanished_runs()
            if worker.task is None:
                del self._workers[key]
            else:
                worker.tracked = None
            self._wake_admitted()

    def observe_event(self, key: Key, candidates: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> None:
        """Handle a fact from a Kafka event about an MLJob's run.

        Args:
            key: The MLJob that the event's run id names.
            candidates: The runs that the event may be about. An event source may belong to several
                Airflows.
            fact: The fact.
            done: Called when the status with the fact is stored, or when no MLJob needs the fact.
        """
        worker = self._workers.setdefault(key, WorkerState(self._reconciler.takeover_state))
        worker.inbox.facts.append((candidates, fact))
        worker.done.append(done)
        self._wake(key)

    def observe_backfill_event(self, candidates: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> bool:
        """Handle a fact from a Kafka event about a run whose id does not name an MLJob.

        Args:
            candidates: The runs that the event may be about.
            fact: The fact.
            done: As for :meth:`observe_event`, if the result is true.

        Returns:
            Whether the run belongs to the backfill of an MLJob, whose worker took the fact.
        """
        for airflow, dag_id, run_id in candidates:
            for key in self._backfills.of(airflow, dag_id):
                worker = self._workers.get(key)
                if (
                    worker is None
                    or worker.tracked is None
                    or (observed_backfill := worker.tracked.observed_run.observed_backfill) is None
                ):
                    continue
                # The next change of this backfill's runs may come without an event. So the reader
                # of the change feed is asked to read before its time.
                self.early_pass(airflow).set()
                if run_id in observed_backfill.members:
                    run = fact if isinstance(fact, RunFact) else started_by(fact)
                    worker.inbox.facts.append(
                        ((worker.last_state(self._reconciler.state).run,), BackfillRun(run_id, run))
                    )
                    worker.done.append(done)
                    self._wake(key)
                    return True
        return False

    def observe_backfill_runs(self, key: Key, backfill: RunKey, members: Sequence[BackfillRun]) -> None:
        """Handle facts from Airflow's REST API about runs of an MLJob's backfill."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.facts += [((backfill,), member) for member in members]
            self._wake(key)

    def observe_run(self, key: Key, run: RunKey, snapshot: Snapshot) -> None:
        """Handle facts from Airflow's REST API about a run.

        Args:
            key: The MLJob that the run id names.
            run: The run.
            snapshot: The facts.
        """
        worker = self._workers.get(key)
        if worker is None and snapshot.run is not None and self._checked_runs.get(run) != snapshot.run.queued_at:
            # No worker tracks this run. Either the run belongs to a finished MLJob, and a user may
            # have cleared the run in Airflow. Or the run belongs to no MLJob. A step of a new
            # worker finds out which. A run is checked again only if Airflow has queued the run
            # again.
            self._checked_runs[run] = snapshot.run.queued_at
            if len(self._checked_runs) > MAX_CHECKED_RUNS:
                del self._checked_runs[next(iter(self._checked_runs))]
            worker = self._workers[key] = WorkerState(self._reconciler.takeover_state)
        if worker is not None:
            worker.inbox.snapshots.append((run, snapshot))
            self._wake(key)

    def request_look_up(self, key: Key) -> None:
        """Tell the worker to request the MLJob's run from Airflow in its next step.

        Callers use this method if the run was missing in a list, or if not all of the run's tasks
        are known.
        """
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.look_up = True
            self._wake(key)

    def observe_halt(self, key: Key, halt: Halt | None) -> None:
        """Handle the reason why the run's DAG schedules no tasks. ``halt`` is None if it schedules
        tasks.
        """
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.halts = (halt,)
            self._wake(key)

    def wake_waiting(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Wake the waiting MLJobs, because Airflows, access rules, logins or limits have changed.

        Args:
            namespace: Only the MLJobs of this namespace are woken. If None, the MLJobs of all
                namespaces are woken.
            airflow: Only the MLJobs of this Airflow are woken. If None, the MLJobs of all Airflows
                are woken.
        """

        def concerned_state(worker: WorkerState) -> State | None:
            if namespace not in (None, _job(worker).namespace):
                return None
            state = self._state(worker)
            return state if airflow in (None, state.run.airflow, state.inputs.target) else None

        states = {key: state for key, state in self._of_each(concerned_state) if state is not None}
        # All MLJobs update their entries in the admission queue before any of them takes a step. So
        # MLJobs are admitted in the order of the queue, by the current rules and limits.
        self._of_each(lambda worker: self._reconciler.reserve(states[_job(worker).key]), states)
        for key, waiting in self._of_each(lambda worker: _waits(states[_job(worker).key]), states):
            if waiting:
                self._forget_last_error(key)

    def relist(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """Handle the result of a relist: an Airflow has listed its active runs.

        Args:
            airflow: The Airflow's name.
            asked_at: The time of the request.
            unlisted: The MLJobs whose run is in progress but missing in the list, and all MLJobs
                with a backfill in progress, because the list has no backfills.
        """
        self._missing_runs.relist(airflow, asked_at, unlisted)
        self._report_vanished_runs()
        vanished = self._missing_runs.vanished(airflow)
        self._meter.runs_vanished(airflow, vanished.missing if vanished is not None else 0)

    def wants_relist(self, airflow: str) -> bool:
        """Whether a relist is needed soon.

        If a run is missing, a relist has to show whether other runs are missing too.
        """
        return self._missing_runs.wants_relist(airflow)

    def have_vanished(self, airflow: str) -> bool:
        """Return whether many runs have vanished from an Airflow at once.

        In this case a run that is missing does not count as deleted.
        """
        return self._missing_runs.have_vanished(airflow)

    def unfinished(self, airflow: str) -> list[State]:
        """Return the states of unfinished MLJobs that have an attempt in an Airflow.

        MLJobs that wait for their first attempt have no run yet, and are left out.
        """

        def unfinished_state(worker: WorkerState) -> State | None:
            state = worker.last_state(self._reconciler.state)
            attempt = state.current.attempt
            return None if worker.finished or attempt is None or attempt.airflow != airflow else state

        return [state for _, state in self._of_each(unfinished_state) if state is not None]

    def count(self) -> int:
        """Return the number of MLJobs that are not finished."""
        return sum(worker.tracked is not None and not worker.finished for worker in self._workers.values())

    @property
    def tracked(self) -> Collection[Key]:
        """The MLJobs that have a worker: unfinished MLJobs, and finished MLJobs with new input."""
        return self._workers.keys()

    @property
    def expiring(self) -> Mapping[Key, Expiry]:
        """The finished MLJobs that wait for the end of their time to live."""
        return self._expiries.pending

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The asyncio tasks that take steps at the moment, or record Kubernetes Events."""
        return [*self._steps_under_way(), *self._writer.tasks]

    async def idle(self) -> None:
        """Wait until no step is being taken, and no Event is being recorded."""
        while tasks := self.tasks:
            await asyncio.wait(tasks)

    def wake_all(self) -> None:
        """Make every MLJob take a step now."""
        for key in [*self._workers, *self._expiries.pending]:
            self._wake(key)

    def users(self, airflow: str) -> list[Key]:
        """Return the MLJobs that still need an Airflow.

        An MLJob needs the Airflow if it has a run there that is active, that is being submitted, or
        that has ended but whose tasks and outputs are not completely read.
        """

        def is_user(worker: WorkerState) -> bool:
            state = worker.last_state(self._reconciler.state)
            busy = state.current.open and worker.task is not None
            return state.run.airflow == airflow and (needs_airflow(state) or busy)

        answers = dict(self._of_each(is_user))

        def is_named(worker: WorkerState) -> bool:
            """Return whether the stored status names a run in this Airflow.

            This counts if :func:`is_user` fails because of a defect: the AirflowInstance must not
            be released then.
            """
            status = worker.tracked.job.status if worker.tracked is not None else None
            return (
                status is not None
                and status.dag_run_id is not None
                and (status.airflow_instance or SETTINGS_AIRFLOW) == airflow
            )

        return [key for key, worker in self._workers.items() if answers.get(key, is_named(worker))]

    def early_pass(self, airflow: str) -> asyncio.Event:
        """Return the event that is set when an Airflow's change feed should be read before its
        time.
        """
        return self._early_passes[airflow]

    def stop(self) -> None:
        """Start no more steps."""
        self._closing = True
        self._expiries.stop()
        for worker in self._workers.values():
            if worker.timer is not None:
                worker.timer.cancel()

    async def close(self) -> None:
        """Start no more steps, and wait for the steps that are being taken (``LAST_STEPS``)."""
        self.stop()
        if under_way := self._steps_under_way():
            _, late = await asyncio.wait(under_way, timeout=LAST_STEPS)
            for task in late:
                task.cancel()
        await self._conf_sources.close()
        await self._writer.close()

    # Steps

    def _steps_under_way(self) -> list[asyncio.Task[None]]:
        return [worker.task for worker in self._workers.values() if worker.task is not None]

    def _wake(self, key: Key) -> None:
        if self._closing:
            return
        if self._expiries.end(key):
            self._workers.setdefault(key, WorkerState(self._reconciler.takeover_state))
        worker = self._workers.get(key)
        if worker is None:
            return
        worker.needs_step = True
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        if worker.task is None and not self._holds_steps:
            worker.task = asyncio.create_task(self._run(key, worker), name=f"mljob {key[0]}/{key[1]}")

    async def _run(self, key: Key, worker: WorkerState) -> None:
        """Take steps for an MLJob until no input has arrived during the last step."""
        redacting.set(lambda: self._confs.redaction_of(worker.job))
        until: float | None = None
        try:
            while worker.needs_step and not self._closing:
                worker.needs_step = False
                pause = worker.written_at + self._min_interval - asyncio.get_running_loop().time()
                if pause > 0:
                    await asyncio.sleep(pause)
                    worker.needs_step = False
                until = await self._steps.take(key, worker)
                self._follow_up(key, worker)
                if worker.failures:
                    self._admission.release_waiting(key)
                self._wake_admitted()
                self._report_vanished_runs()
                if worker.failures and until is not None:
                    # Sleep here instead of setting the timer, because new input would cancel the
                    # timer and so cut the backoff short.
                    await asyncio.sleep(until)
                    worker.needs_step = True
        finally:
            worker.task = None
        if self._workers.get(key) is not worker:
            return
        if worker.job is None or is_done(worker.job):
            worker.forget()
            self._drop(key)
            del self._workers[key]
            if worker.job is not None and until is not None:
                self._expiries.begin(until, worker.job)
        elif until is not None and not self._closing:
            worker.timer = asyncio.get_running_loop().call_later(max(0.0, until), self._wake, key)

    def _report_vanished_runs(self) -> None:
        """Wake the MLJobs with missing runs in each Airflow whose number of missing runs has
        changed.

        If many runs have vanished from an Airflow, or all vanished runs are back, log this and wake
        all MLJobs that wait for the Airflow.
        """
        missing_runs = self._missing_runs
        for airflow in missing_runs.take_changes():
            vanished = missing_runs.have_vanished(airflow)
            if vanished is not (airflow in self._vanished):
                self._vanished ^= {airflow}
                name = f"AirflowInstance {airflow}" if airflow else "Airflow"
                if vanished:
                    log.warning("%s is not ready. %s", name, vanished_message(airflow))
                else:
                    log.info("%s: no run is missing any more", name)
                self._reconciler.request_probe(airflow)
                self.wake_waiting(airflow=airflow)
            for key in missing_runs.missing(airflow):
                self._wake(key)

    def _forget_last_error(self, key: Key) -> None:
        """Tell the worker to drop the last error and its backoff, because the cause of the error
        may be gone.
        """
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.forget_error = True
            self._wake(key)

    def _retry_now(self, key: Key) -> None:
        """Tell the worker to retry a refused submission at once. The number of failures in a row is
        kept.
        """
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.retry_now = True
            self._wake(key)

    def _drop(self, key: Key) -> None:
        """Forget an MLJob that is deleted or has nothing more to do."""
        self._reconciler.forget(key)
        self._conf_sources.follow(key, ())
        self._backfills.remove(key)

    def _wake_admitted(self) -> None:
        """Wake the MLJobs that may submit their runs now."""
        for key in self._reconciler.admitted():
            self._wake(key)

    def _follow_up(self, key: Key, worker: WorkerState) -> None:
        """After a step, request an early pass over the change feed if the run may change without an
        event, or if it is missing and a census is needed.

        Also update the index of backfills in progress, and register the MLJob with the MLJobs for
        which it waits.
        """
        state = worker.state
        self._upstreams.follow(key, waited_for(state) if state is not None and worker.tracked is not None else ())
        if state is None:
            return
        vanished = state.presence.vanished and self._missing_runs.needs_relist(key)
        if vanished or is_hot(state, self._clock()):
            self.early_pass(state.run.airflow).set()
        self._backfills.update(state)

    def _reserve(self, worker: WorkerState) -> None:
        self._reconciler.reserve(self._state(worker))

    def _of_each(self, function: Callable[[WorkerState], T], keys: Iterable[Key] | None = None) -> list[tuple[Key, T]]:
        """Call ``function`` with the worker of each known MLJob, and return the results by MLJob.

        If ``function`` raises, the MLJob is left out: a defect with one MLJob must not affect the
        others. The MLJob's own steps log the defect.

        Args:
            function: A function of a worker.
            keys: The MLJobs. If None, all MLJobs that have a worker.
        """
        answers = []
        for key in list(self._workers if keys is None else keys):
            worker = self._workers[key]
            if worker.job is None:
                continue
            try:
                answers.append((key, function(worker)))
            except Exception:
                log.debug("%s/%s: unexpected error", *key, exc_info=True)
        return answers

    def _state(self, worker: WorkerState) -> State:
        """Return the current state of the worker's MLJob."""
        assert worker.tracked is not None
        return self._reconciler.state(worker.tracked)


def _job(worker: WorkerState) -> Job:
    assert worker.tracked is not None
    return worker.tracked.job


def _waits(state: State) -> bool:
    """Return whether an MLJob waits for a change of Airflows, access rules, logins or limits.

    This is so if a run is due, if the last request failed, or if the run is missing in Airflow.
    This is also so if the AirflowInstance was deleted or created again, and the status does not say
    so yet.
    """
    reports_lost = state.job.status.reason == AIRFLOW_GONE
    failed = state.transient.last_error is not None or state.observed_run.missed_at is not None
    return state.start is not None or failed or is_lost(state) is not reports_lost
