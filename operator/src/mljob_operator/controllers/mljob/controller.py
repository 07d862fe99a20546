"""The controller of MLJobs. Each MLJob has one worker, which receives all input about the MLJob.

Input comes from the watch, from Kafka and from Airflow's REST API. Each status has one writer, so
no lock is needed. Input that arrives during a step waits in the worker's inbox, and the next step
takes all of it. So a burst of events becomes one patch: the first event of a quiet MLJob is written
at once, and the rest with the next patch, at least ``min_interval`` later. A message's ``done`` is
called when the status that holds the message's fact is stored.
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
from ...core.mljob.state import State
from ...core.mljob.transient_state import TransientState
from ...core.run.backfill import BackfillRun
from ...core.run.facts import RunFact, Snapshot, TaskFact
from ...core.run.halt import Halt
from ...core.run.observed_run import started_by
from ...core.run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from ...core.run.vanishing import MissingRuns, explained
from ...logs import redacted_logger, redacting
from ...ports import Clock, JobStore, Meter, SourceChanges
from .backfill_index import BackfillIndex
from .conf_sources import ConfSources
from .confs import Confs
from .expiries import Expiries, Expiry
from .reconciler import Reconciler
from .status_writer import StatusWriter
from .steps import Steps
from .worker_state import Done, WorkerState

log = redacted_logger(__name__)

T = TypeVar("T")

MAX_OTHERS = 10_000
"""The number of runs of finished MLJobs that are remembered as checked. A run that is not
remembered any more is checked once more when Airflow changes the run."""


class MLJobController:
    """The workers of all MLJobs. Everything runs in the event loop's thread.

    Args:
        reconciler: Decides and acts.
        jobs: Writes the statuses.
        changes: Watches the ConfigMaps and Secrets that MLJobs wait for.
        admission: The MLJobs that have a run in each Airflow, and those that wait for admission.
        missing_runs: The missing runs of each Airflow.
        confs: The redaction of secret values, for log lines.
        min_interval: Seconds between two patches of one status.
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
        min_interval: float,
    ) -> None:
        self._reconciler = reconciler
        self._admission = admission
        self._missing_runs = missing_runs
        self._confs = confs
        self._clock = clock
        self._meter = meter
        self._min_interval = min_interval
        self._writer = StatusWriter(jobs, meter)
        self._conf_sources = ConfSources(changes, self._try_again)
        self._steps = Steps(reconciler, jobs, self._writer, self._conf_sources, confs, clock)
        self._workers: dict[Key, WorkerState] = {}
        self._expiries = Expiries(self._wake)
        self._others: dict[RunKey, datetime | None] = {}
        self._backfills = BackfillIndex()
        self._closing = self._held = False
        self._wanted: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._vanished: set[str] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold back all steps. While MLJobs are being listed, the number of active runs is not
        known.

        So no MLJob may be admitted yet.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
            for key, worker in list(self._workers.items()):
                if worker.waiting:
                    self._wake(key)

    # What arrives

    def observe(self, job: Job) -> None:
        """The watch delivered a version of an MLJob."""
        worker = self._workers.get(job.key)
        if worker is None:
            if job.is_done:
                expires = expires_at(job)
                if expires is not None and not self._expiries.knows(job):
                    self._expiries.begin((expires - self._clock()).total_seconds(), job)
                return
            worker = self._workers[job.key] = WorkerState(self._reconciler.elsewhere)
            worker.begin(job, self._reconciler.transient(job))
            # Reserve before the first step, so that MLJobs are admitted in the order of the queue.
            self._of_each(self._reserve, [job.key])
            self._wake(job.key)
            return
        known, begun = worker.job, worker.begun
        if known is None:
            worker.begin(job, self._reconciler.transient(job))
        elif not job.newer_than(known):
            return
        elif known.uid != job.uid:
            # The MLJob was deleted and created again with the same name while the watch was lost.
            worker.forget()
            worker.begin(job, TransientState())
        else:
            worker.see(job)
        # Most versions come from the operator's own status patches, and need no step.
        if (
            known is None
            or worker.begun != begun
            or (known.generation, known.deleted_at, known.has_finalizer)
            != (job.generation, job.deleted_at, job.has_finalizer)
        ):
            self._wake(job.key)

    def vanished(self, key: Key, uid: str) -> None:
        """The watch says that the MLJob is gone."""
        self._expiries.end(key, uid)
        worker = self._workers.get(key)
        if worker is not None and worker.job is not None and worker.job.uid == uid:
            worker.forget()
            self._drop(key)
            self._tell_of_vanished()
            if worker.task is None:
                del self._workers[key]
            else:
                worker.known = None
            self._wake_admitted()

    def tell(self, key: Key, meant: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> None:
        """An event has a fact about one of these runs.

        ``done`` is called when the status with the fact is stored, or when no MLJob needs the fact.
        """
        worker = self._workers.setdefault(key, WorkerState(self._reconciler.elsewhere))
        worker.inbox.facts.append((meant, fact))
        worker.done.append(done)
        self._wake(key)

    def tell_backfill(self, meant: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> bool:
        """An event has a fact about one of these runs, whose ids don't name an MLJob.

        Returns:
            Whether one of the runs belongs to a backfill in progress of an MLJob.
        """
        for airflow, dag_id, run_id in meant:
            for key in self._backfills.of(airflow, dag_id):
                worker = self._workers.get(key)
                if (
                    worker is None
                    or worker.known is None
                    or (observed_backfill := worker.known.observed_run.observed_backfill) is None
                ):
                    continue
                # The run's next change may come without an event.
                self.wanted(airflow).set()
                if run_id in observed_backfill.members:
                    run = fact if isinstance(fact, RunFact) else started_by(fact)
                    worker.inbox.facts.append(
                        ((worker.last_state(self._reconciler.state).run,), BackfillRun(run_id, run))
                    )
                    worker.done.append(done)
                    self._wake(key)
                    return True
        return False

    def follow(self, key: Key, backfill: RunKey, members: Sequence[BackfillRun]) -> None:
        """An Airflow's REST API has facts about runs of a backfill."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.facts += [((backfill,), member) for member in members]
            self._wake(key)

    def show(self, key: Key, run: RunKey, snapshot: Snapshot) -> None:
        """An Airflow's REST API has facts about a run."""
        worker = self._workers.get(key)
        if worker is None and snapshot.run is not None and self._others.get(run) != snapshot.run.queued_at:
            # The run belongs to a finished MLJob, and a user may have cleared the run in Airflow,
            # or the run belongs to no MLJob. It is checked once per time that it was queued.
            self._others[run] = snapshot.run.queued_at
            if len(self._others) > MAX_OTHERS:
                del self._others[next(iter(self._others))]
            worker = self._workers[key] = WorkerState(self._reconciler.elsewhere)
        if worker is not None:
            worker.inbox.snapshots.append((run, snapshot))
            self._wake(key)

    def doubt(self, key: Key) -> None:
        """Request a run from Airflow: it was missing in a list, or not all of its tasks are
        known.
        """
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.doubt = True
            self._wake(key)

    def halt_seen(self, key: Key, halt: Halt | None) -> None:
        """The run's DAG schedules no tasks for this reason; None: it schedules tasks."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.halts = (halt,)
            self._wake(key)

    def reconsider(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Airflows, access rules, logins or limits have changed: MLJobs that wait may continue.

        Args:
            namespace: Only MLJobs of this namespace are concerned; None: of all namespaces.
            airflow: Only MLJobs of this Airflow are concerned; None: of all Airflows.
        """

        def concerned(worker: WorkerState) -> State | None:
            if namespace not in (None, _job(worker).namespace):
                return None
            state = self._state(worker)
            return state if airflow in (None, state.run.airflow, state.inputs.target) else None

        states = {key: state for key, state in self._of_each(concerned) if state is not None}
        # Reserve before the first step, so that MLJobs are admitted in the order of the queue, by
        # the current rules and limits.
        self._of_each(lambda worker: self._reconciler.reserve(states[_job(worker).key]), states)
        for key, waiting in self._of_each(lambda worker: _waits(states[_job(worker).key]), states):
            if waiting:
                self._try_anew(key)

    def census(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """An Airflow has listed its active runs; the runs of the MLJobs in ``unlisted`` are
        missing.
        """
        self._missing_runs.census(airflow, asked_at, unlisted)
        self._tell_of_vanished()
        vanished = self._missing_runs.vanished(airflow)
        self._meter.runs_vanished(airflow, vanished.missing if vanished is not None else 0)

    def wants_census(self, airflow: str) -> bool:
        """Whether a run is missing, so that a census has to show whether other runs are missing
        too.
        """
        return self._missing_runs.wants_census(airflow)

    def have_vanished(self, airflow: str) -> bool:
        """Whether many runs have vanished from an Airflow at once: then a missing run proves
        nothing.
        """
        return self._missing_runs.have_vanished(airflow)

    def live(self, airflow: str) -> list[State]:
        """The states of unfinished MLJobs that have an attempt in an Airflow, after their last
        steps.

        MLJobs that wait for their first attempt have no run yet, and are left out.
        """

        def shown(worker: WorkerState) -> State | None:
            state = worker.last_state(self._reconciler.state)
            attempt = state.current.attempt
            return None if worker.finished or attempt is None or attempt.airflow != airflow else state

        return [state for _, state in self._of_each(shown) if state is not None]

    def count(self) -> int:
        """The number of MLJobs that are not finished."""
        return sum(worker.known is not None and not worker.finished for worker in self._workers.values())

    @property
    def tracked(self) -> Collection[Key]:
        """The MLJobs that have a worker: unfinished ones, and finished ones with new input."""
        return self._workers.keys()

    @property
    def expiring(self) -> Mapping[Key, Expiry]:
        """The finished MLJobs that wait for the end of their time to live."""
        return self._expiries.pending

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The steps under way, and Kubernetes Events that are being recorded."""
        return [*self._steps_under_way(), *self._writer.busy]

    async def idle(self) -> None:
        """Wait until no step is under way, and no Event is being recorded."""
        while tasks := self.tasks:
            await asyncio.wait(tasks)

    def wake_all(self) -> None:
        """Make every MLJob take a step now."""
        for key in [*self._workers, *self._expiries.pending]:
            self._wake(key)

    def users(self, airflow: str) -> list[Key]:
        """The MLJobs that still need an Airflow.

        Their run is active, is being submitted, or has ended and is not completely read yet.
        """

        def needs_it(worker: WorkerState) -> bool:
            state = worker.last_state(self._reconciler.state)
            busy = state.current.open and worker.task is not None
            return state.run.airflow == airflow and (needs_airflow(state) or busy)

        answers = dict(self._of_each(needs_it))

        def told(worker: WorkerState) -> bool:
            """The answer by the stored status, if a defect prevents the real answer.

            A defect must not release the MLJob's Airflow.
            """
            status = worker.known.job.status if worker.known is not None else None
            return (
                status is not None
                and status.dag_run_id is not None
                and (status.airflow_instance or SETTINGS_AIRFLOW) == airflow
            )

        return [key for key, worker in self._workers.items() if answers.get(key, told(worker))]

    def wanted(self, airflow: str) -> asyncio.Event:
        """Set when something is worth a look at an Airflow's change feed before its time."""
        return self._wanted[airflow]

    def stop(self) -> None:
        """Start no more steps."""
        self._closing = True
        self._expiries.stop()
        for worker in self._workers.values():
            if worker.timer is not None:
                worker.timer.cancel()

    async def close(self) -> None:
        """Let steps under way finish, and start no more."""
        self.stop()
        if under_way := self._steps_under_way():
            _, late = await asyncio.wait(under_way, timeout=5)
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
            self._workers.setdefault(key, WorkerState(self._reconciler.elsewhere))
        worker = self._workers.get(key)
        if worker is None:
            return
        worker.waiting = True
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        if worker.task is None and not self._held:
            worker.task = asyncio.create_task(self._run(key, worker), name=f"mljob {key[0]}/{key[1]}")

    async def _run(self, key: Key, worker: WorkerState) -> None:
        """Take steps until no new input has arrived."""
        redacting.set(lambda: self._confs.redaction_of(worker.job))
        until: float | None = None
        try:
            while worker.waiting and not self._closing:
                worker.waiting = False
                pause = worker.written_at + self._min_interval - asyncio.get_running_loop().time()
                if pause > 0:
                    await asyncio.sleep(pause)
                    worker.waiting = False
                until = await self._steps.take(key, worker)
                self._follow_up(key, worker)
                if worker.failures:
                    self._admission.step_aside(key)
                self._wake_admitted()
                self._tell_of_vanished()
                if worker.failures and until is not None:
                    # Sleep here instead of setting the timer: new input must not cut the backoff
                    # short.
                    await asyncio.sleep(until)
                    worker.waiting = True
        finally:
            worker.task = None
        if self._workers.get(key) is not worker:
            return
        if worker.job is None or worker.job.is_done:
            worker.forget()
            self._drop(key)
            del self._workers[key]
            if worker.job is not None and until is not None:
                self._expiries.begin(until, worker.job)
        elif until is not None and not self._closing:
            worker.timer = asyncio.get_running_loop().call_later(max(0.0, until), self._wake, key)

    def _tell_of_vanished(self) -> None:
        """Wake the MLJobs of Airflows from which many runs have vanished, or whose runs are
        back.
        """
        missing_runs = self._missing_runs
        for airflow in missing_runs.changes():
            vanished = missing_runs.have_vanished(airflow)
            if vanished is not (airflow in self._vanished):
                self._vanished ^= {airflow}
                name = f"AirflowInstance {airflow}" if airflow else "Airflow"
                if vanished:
                    log.warning("%s is not ready. %s", name, explained(airflow))
                else:
                    log.info("%s: no run is missing any more", name)
                self._reconciler.doubt(airflow)
                self.reconsider(airflow=airflow)
            for key in missing_runs.missing(airflow):
                self._wake(key)

    def _try_anew(self, key: Key) -> None:
        """The cause of an MLJob's last error may be gone: forget the error and its backoff."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.anew = True
            self._wake(key)

    def _try_again(self, key: Key) -> None:
        """A refused conf may be accepted now: retry at once, without resetting the backoff."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.again = True
            self._wake(key)

    def _drop(self, key: Key) -> None:
        """An MLJob is gone, or has nothing more to do."""
        self._reconciler.drop(key)
        self._conf_sources.follow(key, ())
        self._backfills.remove(key)

    def _wake_admitted(self) -> None:
        """Wake the MLJobs that may submit their runs now."""
        for key in self._reconciler.admitted():
            self._wake(key)

    def _follow_up(self, key: Key, worker: WorkerState) -> None:
        """After a step, request an early read of the change feed if the state needs it.

        Also, keep the index of backfills in progress by DAG.
        """
        state = worker.state
        if state is None:
            return
        vanished = state.presence.vanished and self._missing_runs.needs_census(key)
        if vanished or is_hot(state, self._clock()):
            self.wanted(state.run.airflow).set()
        self._backfills.update(state)

    def _reserve(self, worker: WorkerState) -> None:
        self._reconciler.reserve(self._state(worker))

    def _of_each(self, question: Callable[[WorkerState], T], keys: Iterable[Key] | None = None) -> list[tuple[Key, T]]:
        """The answers of all known MLJobs, or of the given ones.

        An MLJob whose answer fails because of a defect is left out, so that the defect affects no
        other MLJob. The MLJob's own steps log the defect.
        """
        answers = []
        for key in list(self._workers if keys is None else keys):
            worker = self._workers[key]
            if worker.job is None:
                continue
            try:
                answers.append((key, question(worker)))
            except Exception:
                log.debug("%s/%s: unexpected error", *key, exc_info=True)
        return answers

    def _state(self, worker: WorkerState) -> State:
        """The state of an MLJob, now."""
        assert worker.known is not None
        return self._reconciler.state(worker.known)


def _job(worker: WorkerState) -> Job:
    assert worker.known is not None
    return worker.known.job


def _waits(state: State) -> bool:
    """Whether an MLJob waits for a change of Airflows, access rules, logins or limits.

    MLJobs with a run in progress don't wait, unless their AirflowInstance is gone or is back.
    """
    said_lost = state.job.status.reason == AIRFLOW_GONE
    troubled = state.transient.last_error is not None or state.observed_run.missed_at is not None
    return state.start is not None or troubled or is_lost(state) is not said_lost
