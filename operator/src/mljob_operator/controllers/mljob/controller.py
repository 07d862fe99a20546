"""The controller of MLJobs: one worker an MLJob, and whatever is learned of an MLJob, from the watch, from Kafka or from REST, goes through its worker.

So a status has one writer, and there is no lock. What arrives while a step is under way waits, and the next step takes all of it, which is how a burst
becomes one patch: the first event of a quiet MLJob is written at once, the rest with the following patch, at least ``min_interval`` later. A message's
``done`` is called when the status that holds it is stored.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from ...core.airflow_instance.catalog import AIRFLOW_GONE
from ...core.mljob.activity import is_hot
from ...core.mljob.airflow_use import is_lost, needs_airflow
from ...core.mljob.job import Job
from ...core.mljob.state import State
from ...core.mljob.transient_state import TransientState
from ...core.run.backfill import BackfillRun
from ...core.run.facts import RunFact, Snapshot, TaskFact
from ...core.run.halt import Halt
from ...core.run.observed_run import started_by
from ...core.run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from ...core.run.vanishing import explained
from ...logs import redacted_logger, redacting
from ...ports import Clock, JobStore, Meter, SourceChanges
from .conf_sources import ConfSources
from .reconciler import Reconciler
from .status_writer import StatusWriter
from .steps import Steps
from .worker import Done, MLJobWorker

log = redacted_logger(__name__)

T = TypeVar("T")

MAX_OTHERS = 10_000
"""Runs of finished MLJobs to remember as looked at. A run that is forgotten is read once more when Airflow changes it."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """A finished MLJob whose ``ttlSecondsAfterFinished`` runs: all that is kept of the MLJob until its time is up, when it is read again.

    Attributes:
        timer: Wakes the MLJob.
    """

    uid: str
    resource_version: str
    timer: asyncio.TimerHandle

    def knows(self, job: Job) -> bool:
        """Whether this version has been looked at, or a later one."""
        return self.uid == job.uid and int(self.resource_version) >= int(job.resource_version)


class MLJobController:
    """The workers of all MLJobs. Everything runs in the event loop's thread.

    Args:
        reconciler: Decides and acts.
        jobs: Where statuses are written.
        changes: Tells when what an MLJob waits for appears or changes.
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
        min_interval: float,
    ) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._meter = meter
        self._min_interval = min_interval
        self._writer = StatusWriter(jobs, meter)
        self._conf_sources = ConfSources(changes, self._try_again)
        self._steps = Steps(reconciler, jobs, self._writer, self._conf_sources, clock)
        self._workers: dict[Key, MLJobWorker] = {}
        self._expiries: dict[Key, Expiry] = {}
        self._others: dict[RunKey, datetime | None] = {}
        self._backfills: dict[tuple[str, str], set[Key]] = defaultdict(set)
        self._closing = self._held = False
        self._wanted: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._vanished: set[str] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No step is taken in here. While MLJobs are listed, it is not known yet who has a run, and so not who may submit one."""
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
                expiry = self._expiries.get(job.key)
                if job.expires_at is not None and (expiry is None or not expiry.knows(job)):
                    self._expire_in((job.expires_at - self._clock()).total_seconds(), job)
                return
            worker = self._workers[job.key] = MLJobWorker(self._reconciler.elsewhere)
            worker.begin(job, self._reconciler.transient(job))
            # Before any of them takes a step, so that each has its turn.
            self._of_each(self._reserve, [job.key])
            self._wake(job.key)
            return
        known, begun = worker.job, worker.begun
        if known is None:
            worker.begin(job, self._reconciler.transient(job))
        elif not job.newer_than(known):
            return
        elif known.uid != job.uid:
            # Deleted and created again under the same name, while the watch was lost: another story.
            worker.forget()
            worker.begin(job, TransientState())
        else:
            worker.see(job)
        # Most versions are our own status patches coming back: they are nothing to act on.
        if (
            known is None
            or worker.begun != begun
            or (known.generation, known.deleted_at, known.has_finalizer)
            != (job.generation, job.deleted_at, job.has_finalizer)
        ):
            self._wake(job.key)

    def vanished(self, key: Key, uid: str) -> None:
        """The watch says that the MLJob is gone."""
        if (expiry := self._expiries.get(key)) is not None and expiry.uid == uid:
            self._expiries.pop(key).timer.cancel()
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
        """An event said something of one of these runs; ``done`` is called once that is stored, or known to concern nobody."""
        worker = self._workers.setdefault(key, MLJobWorker(self._reconciler.elsewhere))
        worker.inbox.facts.append((meant, fact))
        worker.done.append(done)
        self._wake(key)

    def tell_backfill(self, meant: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> bool:
        """An event said something of one of these runs, which are none of ours by their id; whether one is of a backfill of ours in progress."""
        for airflow, dag_id, run_id in meant:
            for key in self._backfills.get((airflow, dag_id), ()):
                worker = self._workers.get(key)
                if (
                    worker is None
                    or worker.known is None
                    or (observed_backfill := worker.known.observed_run.observed_backfill) is None
                ):
                    continue
                # What the run does next may come without an event.
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
        """An Airflow's REST API said something of runs of a backfill."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.facts += [((backfill,), member) for member in members]
            self._wake(key)

    def show(self, key: Key, run: RunKey, snapshot: Snapshot) -> None:
        """An Airflow's REST API said something of a run."""
        worker = self._workers.get(key)
        if worker is None and snapshot.run is not None and self._others.get(run) != snapshot.run.created:
            # Of a finished MLJob, which somebody may have cleared in Airflow, or of none. It is looked at once for each time that it was queued.
            self._others[run] = snapshot.run.created
            if len(self._others) > MAX_OTHERS:
                del self._others[next(iter(self._others))]
            worker = self._workers[key] = MLJobWorker(self._reconciler.elsewhere)
        if worker is not None:
            worker.inbox.snapshots.append((run, snapshot))
            self._wake(key)

    def doubt(self, key: Key) -> None:
        """A run was not where it should be, or its tasks are not all known: ask for it."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.doubt = True
            self._wake(key)

    def halt_seen(self, key: Key, halt: Halt | None) -> None:
        """The run's DAG schedules nothing for this reason, or it does (None)."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.halts = (halt,)
            self._wake(key)

    def reconsider(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Something has changed around MLJobs, or around those of a namespace, or of an Airflow: those that wait for it may go on."""

        def concerned(worker: MLJobWorker) -> State | None:
            if namespace not in (None, _job(worker).namespace):
                return None
            state = self._state(worker)
            return state if airflow in (None, state.run.airflow, state.inputs.target) else None

        states = {key: state for key, state in self._of_each(concerned) if state is not None}
        # Before any of them takes a step, so that each has its turn, under the rules and limits of now.
        self._of_each(lambda worker: self._reconciler.reserve(states[_job(worker).key]), states)
        for key, waiting in self._of_each(lambda worker: _waits(states[_job(worker).key]), states):
            if waiting:
                self._try_anew(key)

    def census(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """An Airflow listed its active runs; those of the MLJobs in ``unlisted`` were not among them."""
        self._reconciler.missing_runs.census(airflow, asked_at, unlisted)
        self._tell_of_vanished()
        vanished = self._reconciler.missing_runs.vanished(airflow)
        self._meter.runs_vanished(airflow, vanished.missing if vanished is not None else 0)

    def wants_census(self, airflow: str) -> bool:
        """Whether a run is missing, and whether that counts depends on the others."""
        return self._reconciler.missing_runs.wants_census(airflow)

    def have_vanished(self, airflow: str) -> bool:
        """Whether many runs have vanished from an Airflow at once, so that nothing is proved of any run there."""
        return self._reconciler.missing_runs.have_vanished(airflow)

    def live(self, airflow: str) -> list[State]:
        """MLJobs that are not finished and have an attempt in an Airflow, as they were at the end of their last steps. MLJobs that wait for their first attempt
        have nothing there to read.
        """

        def shown(worker: MLJobWorker) -> State | None:
            state = worker.last_state(self._reconciler.state)
            attempt = state.current.attempt
            return None if worker.finished or attempt is None or attempt.airflow != airflow else state

        return [state for _, state in self._of_each(shown) if state is not None]

    def count(self) -> int:
        """How many MLJobs are not finished."""
        return sum(worker.known is not None and not worker.finished for worker in self._workers.values())

    @property
    def tracked(self) -> Collection[Key]:
        """MLJobs that have a worker: those that have not finished, and those that something has just arrived for."""
        return self._workers.keys()

    @property
    def expiring(self) -> Collection[Key]:
        """Finished MLJobs that wait for the end of their time to live."""
        return self._expiries.keys()

    async def idle(self) -> None:
        """Wait until no step is under way, and no Event is being recorded."""
        while tasks := [worker.task for worker in self._workers.values() if worker.task is not None]:
            await asyncio.wait(tasks)
        while busy := self._writer.busy:
            await asyncio.wait(busy)

    def wake_all(self) -> None:
        """Let every MLJob take a step now, as if each had a reason."""
        for key in [*self._workers, *self._expiries]:
            self._wake(key)

    def users(self, airflow: str) -> list[Key]:
        """MLJobs that need an Airflow still: for a run that is not over, or of which not all is known, or that is being submitted."""

        def needs_it(worker: MLJobWorker) -> bool:
            state = worker.last_state(self._reconciler.state)
            busy = state.current.open and worker.task is not None
            return state.run.airflow == airflow and (needs_airflow(state) or busy)

        answers = dict(self._of_each(needs_it))

        def told(worker: MLJobWorker) -> bool:
            """What the stored status says, of an MLJob that has no answer because of a defect: its Airflow must not go because of that."""
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

    async def close(self) -> None:
        """Let steps under way finish, and start no more."""
        self._closing = True
        for expiry in self._expiries.values():
            expiry.timer.cancel()
        for worker in self._workers.values():
            if worker.timer is not None:
                worker.timer.cancel()
        under_way = [worker.task for worker in self._workers.values() if worker.task is not None]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=5)
            for task in late:
                task.cancel()
        await self._conf_sources.close()
        await self._writer.close()

    # Steps

    def _wake(self, key: Key) -> None:
        if self._closing:
            return
        if (expiry := self._expiries.pop(key, None)) is not None:
            expiry.timer.cancel()
            self._workers.setdefault(key, MLJobWorker(self._reconciler.elsewhere))
        worker = self._workers.get(key)
        if worker is None:
            return
        worker.waiting = True
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        if worker.task is None and not self._held:
            worker.task = asyncio.create_task(self._run(key, worker), name=f"mljob {key[0]}/{key[1]}")

    async def _run(self, key: Key, worker: MLJobWorker) -> None:
        """Take steps until nothing more has arrived."""
        redacting.set(lambda: self._reconciler.confs.redaction_of(worker.job))
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
                    self._reconciler.admission.step_aside(key)
                self._wake_admitted()
                self._tell_of_vanished()
                if worker.failures and until is not None:
                    # Sleep here rather than by the timer: what arrives meanwhile must not cut the backoff short.
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
                self._expire_in(until, worker.job)
        elif until is not None and not self._closing:
            worker.timer = asyncio.get_running_loop().call_later(max(0.0, until), self._wake, key)

    def _expire_in(self, seconds: float, job: Job) -> None:
        """Look at a finished MLJob when its time is up; until then, nothing else is kept of it."""
        if (other := self._expiries.pop(job.key, None)) is not None:
            other.timer.cancel()
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake, job.key)
        self._expiries[job.key] = Expiry(job.uid, job.resource_version, timer)

    def _tell_of_vanished(self) -> None:
        """Tell those concerned where many runs have vanished, or are found again."""
        missing_runs = self._reconciler.missing_runs
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
        """What stood in an MLJob's way may not any more."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.anew = True
            self._wake(key)

    def _try_again(self, key: Key) -> None:
        """Airflow, or the check of the conf, may now take what it refused. After another refusal the next pause is longer all the same."""
        if (worker := self._workers.get(key)) is not None:
            worker.inbox.again = True
            self._wake(key)

    def _drop(self, key: Key) -> None:
        """An MLJob is gone, or has nothing more to do."""
        self._reconciler.drop(key)
        self._conf_sources.follow(key, ())
        for keys in self._backfills.values():
            keys.discard(key)

    def _wake_admitted(self) -> None:
        """Wake the MLJobs that may submit their runs now."""
        for key in self._reconciler.admitted():
            self._wake(key)

    def _follow_up(self, key: Key, worker: MLJobWorker) -> None:
        """Have the change feed read soon where the state at the end of a step asks for that, and find backfills in progress by their DAGs."""
        state = worker.state
        if state is None:
            return
        vanished = state.presence.vanished and self._reconciler.missing_runs.needs_census(key)
        if vanished or is_hot(state, self._clock()):
            self.wanted(state.run.airflow).set()
        dag = state.run.airflow, state.run.dag_id
        if state.job.is_backfill and state.current.active:
            self._backfills[dag].add(key)
        elif dag in self._backfills:
            self._backfills[dag].discard(key)
            if not self._backfills[dag]:
                del self._backfills[dag]

    def _reserve(self, worker: MLJobWorker) -> None:
        self._reconciler.reserve(self._state(worker))

    def _of_each(self, question: Callable[[MLJobWorker], T], keys: Iterable[Key] | None = None) -> list[tuple[Key, T]]:
        """The answer of each MLJob that is known, or of those that are named.

        An MLJob that has no answer because of a defect is left out: whoever asks is asking on behalf of all. That MLJob's own steps complain.
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

    def _state(self, worker: MLJobWorker) -> State:
        """The state of an MLJob, now."""
        assert worker.known is not None
        return self._reconciler.state(worker.known)


def _job(worker: MLJobWorker) -> Job:
    assert worker.known is not None
    return worker.known.job


def _waits(state: State) -> bool:
    """Whether an MLJob waits for something around it to change. A run in progress does not, unless its AirflowInstance has gone or come back."""
    said_lost = state.job.status.reason == AIRFLOW_GONE
    troubled = state.transient.last_error is not None or state.observed_run.missed_at is not None
    return state.start is not None or troubled or is_lost(state) is not said_lost
