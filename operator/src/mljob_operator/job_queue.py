"""One queue an MLJob: whatever is learned of it, from the watch, from Kafka or from REST, goes through here, one step at a time.

So there is one writer of a status, and no lock. What arrives while a step is under way waits and is taken together by the next
one, which is how a burst becomes one patch: the first event of a quiet MLJob is written at once, the rest with the following
patch, at least ``min_interval`` later. A message's ``done`` is called when the status that holds it is stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from mljob_contract.mljob import MLJobStatus

from .conf_sources import ConfSources, waited_for
from .core import attempts
from .core.backfill import Member
from .core.decisions import Expire, Release, Store, Wait
from .core.effort import Effort
from .core.facts import RunFact, Snapshot, TaskFact
from .core.halt import Halt
from .core.instance import OWN
from .core.job import Job, Key
from .core.ledger import started_by
from .core.mljob.afterwards import arrived_late
from .core.mljob.airflow_use import is_lost, needs_airflow
from .core.mljob.state import State
from .core.phases import TERMINAL_PHASES
from .core.placement import LOST
from .core.run_key import RunKey
from .core.status.build import report
from .core.status.disclosure import disclosed
from .core.status.events import WARNING, Notice, notices
from .core.status.messages import MAX_MESSAGE
from .core.status.news import REFINEMENT_WAITS, tells_news
from .core.status.patches import merge_patch
from .core.storable import cut
from .core.vanishing import explained
from .errors import Conflict, Gone, OperatorError, Refused, StoreError, backoff
from .live import Live
from .logs import redacted_logger, redacting
from .ports import Clock, JobStore, Meter, SourceChanges
from .reconciler import Progress, Reconciler
from .slot import Done, Slot

log = redacted_logger(__name__)

T = TypeVar("T")

MAX_OTHERS = 10_000
"""Runs of finished MLJobs to remember as looked at. One that is forgotten is read once more when Airflow changes it."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """A finished MLJob whose ``ttlSecondsAfterFinished`` runs: all that is kept of it until its time is up, when it is read again.

    Attributes:
        timer: Wakes it.
    """

    uid: str
    resource_version: str
    timer: asyncio.TimerHandle

    def knows(self, job: Job) -> bool:
        """Whether this version has been looked at, or a later one."""
        return self.uid == job.uid and int(self.resource_version) >= int(job.resource_version)


class JobQueue:
    """Queues and steps for all MLJobs. Everything runs in the event loop's thread.

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
        self._jobs = jobs
        self._clock = clock
        self._meter = meter
        self._min_interval = min_interval
        self._slots: dict[Key, Slot] = {}
        self._expiries: dict[Key, Expiry] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._others: dict[RunKey, datetime | None] = {}
        self._backfills: dict[tuple[str, str], set[Key]] = defaultdict(set)
        self._closing = self._held = False
        self._wanted: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._vanished: set[str] = set()
        self._conf_sources = ConfSources(changes, self._try_again)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No step is taken in here. While MLJobs are listed, it is not known yet who has a run, and so not who may submit one."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            for key, slot in list(self._slots.items()):
                if slot.waiting:
                    self._wake(key)

    # What arrives

    def observe(self, job: Job) -> None:
        """The watch delivered a version of an MLJob."""
        slot = self._slots.get(job.key)
        if slot is None:
            if job.settled:
                expiry = self._expiries.get(job.key)
                if job.expires_at is not None and (expiry is None or not expiry.knows(job)):
                    self._expire_in((job.expires_at - self._clock()).total_seconds(), job)
                return
            slot = self._slots[job.key] = Slot(self._reconciler.elsewhere)
            slot.begin(job, self._reconciler.effort(job))
            # Before any of them takes a step, so that each has its turn.
            self._of_each(self._reserve, [job.key])
            self._wake(job.key)
            return
        known, begun = slot.job, slot.begun
        if known is None:
            slot.begin(job, self._reconciler.effort(job))
        elif not job.newer_than(known):
            return
        elif known.uid != job.uid:
            # Deleted and created again under the same name, while the watch was lost: another story.
            slot.forget()
            slot.begin(job, Effort())
        else:
            slot.see(job)
        # Most versions are our own status patches coming back: they are nothing to act on.
        if (
            known is None
            or slot.begun != begun
            or (known.generation, known.deleted_at, known.held) != (job.generation, job.deleted_at, job.held)
        ):
            self._wake(job.key)

    def vanished(self, key: Key, uid: str) -> None:
        """The watch says that the MLJob is gone."""
        if (expiry := self._expiries.get(key)) is not None and expiry.uid == uid:
            self._expiries.pop(key).timer.cancel()
        slot = self._slots.get(key)
        if slot is not None and slot.job is not None and slot.job.uid == uid:
            slot.forget()
            self._drop(key)
            self._tell_of_vanished()
            if slot.task is None:
                del self._slots[key]
            else:
                slot.job = None
            self._wake_admitted()

    def tell(self, key: Key, meant: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> None:
        """An event said something of one of these runs; ``done`` is called once that is stored, or known to concern nobody."""
        slot = self._slots.setdefault(key, Slot(self._reconciler.elsewhere))
        slot.facts.append((meant, fact))
        slot.done.append(done)
        self._wake(key)

    def tell_backfill(self, meant: Collection[RunKey], fact: TaskFact | RunFact, done: Done) -> bool:
        """An event said something of one of these runs, which are none of ours by their id; whether one is of a backfill of ours in progress."""
        for airflow, dag_id, run_id in meant:
            for key in self._backfills.get((airflow, dag_id), ()):
                slot = self._slots.get(key)
                if slot is None or slot.job is None or slot.ledger.course is None:
                    continue
                # What the run does next may come without an event.
                self.wanted(airflow).set()
                if run_id in slot.ledger.course.members:
                    run = fact if isinstance(fact, RunFact) else started_by(fact)
                    slot.facts.append(((self._state(slot).run,), Member(run_id, run)))
                    slot.done.append(done)
                    self._wake(key)
                    return True
        return False

    def follow(self, key: Key, backfill: RunKey, members: Sequence[Member]) -> None:
        """An Airflow's REST API said something of runs of a backfill."""
        if (slot := self._slots.get(key)) is not None:
            slot.facts += [((backfill,), member) for member in members]
            self._wake(key)

    def show(self, key: Key, run: RunKey, snapshot: Snapshot) -> None:
        """An Airflow's REST API said something of a run."""
        slot = self._slots.get(key)
        if slot is None and snapshot.run is not None and self._others.get(run) != snapshot.run.created:
            # Of a finished MLJob, which somebody may have cleared in Airflow, or of none. It is looked at once for each time that it was queued.
            self._others[run] = snapshot.run.created
            if len(self._others) > MAX_OTHERS:
                del self._others[next(iter(self._others))]
            slot = self._slots[key] = Slot(self._reconciler.elsewhere)
        if slot is not None:
            slot.snapshots.append((run, snapshot))
            self._wake(key)

    def doubt(self, key: Key) -> None:
        """A run was not where it should be, or its tasks are not all known: ask for it."""
        if (slot := self._slots.get(key)) is not None:
            slot.doubt = True
            self._wake(key)

    def halt_seen(self, key: Key, halt: Halt | None) -> None:
        """The run's DAG schedules nothing for this reason, or it does (None)."""
        if (slot := self._slots.get(key)) is not None:
            slot.halts = (halt,)
            self._wake(key)

    def reconsider(self, *, namespace: str | None = None, airflow: str | None = None) -> None:
        """Something has changed around MLJobs, or around those of a namespace, or of an Airflow: those that wait for it may go on."""

        def concerned(slot: Slot) -> State | None:
            assert slot.job is not None
            if namespace not in (None, slot.job.namespace):
                return None
            state = self._state(slot)
            return state if airflow in (None, state.run.airflow, state.inputs.target) else None

        states = {key: state for key, state in self._of_each(concerned) if state is not None}

        def reserve(slot: Slot) -> None:
            assert slot.job is not None
            self._reconciler.reserve(states[slot.job.key])

        def waits(slot: Slot) -> bool:
            assert slot.job is not None
            state = states[slot.job.key]
            # A run in progress is none of this, unless its AirflowInstance has gone or come back.
            said_lost = slot.job.status.reason == LOST
            missing = slot.ledger.missed_at is not None
            return (
                state.start is not None or slot.effort.trouble is not None or is_lost(state) is not said_lost or missing
            )

        # Before any of them takes a step, so that each has its turn, under the rules and limits of now.
        self._of_each(reserve, states)
        for key, waiting in self._of_each(waits, states):
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

    def live(self, airflow: str) -> list[Live]:
        """MLJobs that are not finished and have an attempt in an Airflow; those that wait for their first one have nothing there to read."""

        def shown(slot: Slot) -> Live | None:
            assert slot.job is not None
            attempt = slot.effort.attempt or attempts.current(slot.job.status)
            if slot.job.status.phase in TERMINAL_PHASES or attempt is None or attempt.airflow != airflow:
                return None
            return Live.of(self._state(slot))

        return [live for _, live in self._of_each(shown) if live is not None]

    def count(self) -> int:
        """How many MLJobs are not finished."""
        return sum(
            slot.job is not None and slot.job.status.phase not in TERMINAL_PHASES for slot in self._slots.values()
        )

    def users(self, airflow: str) -> list[Key]:
        """MLJobs that need an Airflow still: for a run that is not over, or of which not all is known, or that is being submitted."""

        def needs_it(slot: Slot) -> bool:
            state = self._state(slot)
            busy = state.current.open and slot.task is not None
            return state.run.airflow == airflow and (needs_airflow(state) or busy)

        answers = dict(self._of_each(needs_it))

        def told(slot: Slot) -> bool:
            """What the stored status says, of an MLJob that has no answer because of a defect: its Airflow must not go because of that."""
            status = slot.job.status if slot.job is not None else None
            return status is not None and status.dag_run_id is not None and (status.airflow_instance or OWN) == airflow

        return [key for key, slot in self._slots.items() if answers.get(key, told(slot))]

    def wanted(self, airflow: str) -> asyncio.Event:
        """Set when something is worth a look at an Airflow's change feed before its time."""
        return self._wanted[airflow]

    async def close(self) -> None:
        """Let steps under way finish, and start no more."""
        self._closing = True
        for expiry in self._expiries.values():
            expiry.timer.cancel()
        for slot in self._slots.values():
            if slot.timer is not None:
                slot.timer.cancel()
        under_way = [slot.task for slot in self._slots.values() if slot.task is not None]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=5)
            for task in late:
                task.cancel()
        await self._conf_sources.close()
        if self._background:
            await asyncio.wait(self._background, timeout=2)

    # Steps

    def _wake(self, key: Key) -> None:
        if self._closing:
            return
        if (expiry := self._expiries.pop(key, None)) is not None:
            expiry.timer.cancel()
            self._slots.setdefault(key, Slot(self._reconciler.elsewhere))
        slot = self._slots.get(key)
        if slot is None:
            return
        slot.waiting = True
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        if slot.task is None and not self._held:
            slot.task = asyncio.create_task(self._run(key, slot), name=f"mljob {key[0]}/{key[1]}")

    async def _run(self, key: Key, slot: Slot) -> None:
        """Take steps until nothing more has arrived."""
        redacting.set(lambda: self._reconciler.confs.redaction_of(slot.job))
        until: float | None = None
        try:
            while slot.waiting and not self._closing:
                slot.waiting = False
                pause = slot.written_at + self._min_interval - asyncio.get_running_loop().time()
                if pause > 0:
                    await asyncio.sleep(pause)
                    slot.waiting = False
                until = await self._guarded_step(key, slot)
                if slot.failures:
                    self._reconciler.admission.step_aside(key)
                self._wake_admitted()
                self._tell_of_vanished()
                if slot.failures and until is not None:
                    # Sleep here rather than by the timer: what arrives meanwhile must not cut the backoff short.
                    await asyncio.sleep(until)
                    slot.waiting = True
        finally:
            slot.task = None
        if self._slots.get(key) is not slot:
            return
        if slot.job is None or slot.job.settled:
            slot.forget()
            self._drop(key)
            del self._slots[key]
            if slot.job is not None and until is not None:
                self._expire_in(until, slot.job)
        elif until is not None and not self._closing:
            slot.timer = asyncio.get_running_loop().call_later(max(0.0, until), self._wake, key)

    def _expire_in(self, seconds: float, job: Job) -> None:
        """Look at a finished MLJob when its time is up; until then, nothing else is kept of it."""
        if (other := self._expiries.pop(job.key, None)) is not None:
            other.timer.cancel()
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake, job.key)
        self._expiries[job.key] = Expiry(job.uid, job.resource_version, timer)

    async def _guarded_step(self, key: Key, slot: Slot) -> float | None:
        """One step; seconds until the next one is due, or None."""
        try:
            until = await self._step(key, slot)
        except Conflict as conflict:
            return await self._read_again(key, slot, conflict)
        except Gone:
            slot.job = None
            slot.forget()
            return None
        except StoreError as error:
            if isinstance(error, Refused) and slot.job is not None:
                self._forget_what_was_refused(slot, slot.job, error)
            slot.failures += 1
            delay = backoff(error, slot.failures)
            log.warning("%s/%s: %s; again in %.1f s", *key, error, delay, extra=_extra(key))
            return delay
        except Exception:
            # A defect must not stop the other MLJobs, nor be silent: this one is tried again, slowly.
            slot.failures += 1
            log.exception("%s/%s: unexpected error", *key, extra=_extra(key))
            return min(60.0, 2.0 ** min(slot.failures, 6))
        slot.failures = 0
        return until

    async def _read_again(self, key: Key, slot: Slot, refused: Conflict) -> float | None:
        """The version that a request was about is not the latest: read that one, and decide again; seconds until then, or None for at once.

        What was refused for its version is there. An answer that has no later version, or says that there is none, is from before.
        """
        before = slot.job
        error: StoreError = refused
        try:
            latest = await self._jobs.get(key)
        except StoreError as failed:
            latest, error = None, failed
        if before is not None and latest is not None:
            slot.learn(latest, before)
        slot.waiting = True
        if slot.job is not before:
            return None
        slot.failures += 1
        if slot.failures == 1:
            # The watch may have brought the latest version before the refusal came.
            return None
        delay = backoff(error, slot.failures - 1)
        log.warning("%s/%s: no later version could be read: %s; again in %.1f s", *key, error, delay, extra=_extra(key))
        return delay

    async def _step(self, key: Key, slot: Slot) -> float | None:
        if slot.job is None:
            found = await self._jobs.get(key)
            # The watch may have brought it meanwhile.
            if found is not None and slot.job is None:
                slot.begin(found, self._reconciler.effort(found))
        if slot.job is None or (
            slot.job.settled
            and not slot.snapshots
            and slot.job.spec.ttl_seconds_after_finished is None
            and not arrived_late(self._state(slot))
        ):
            # An event that comes after the end: what has been said stands.
            slot.forget()
            return None
        slot.take_in(self._state(slot))

        while True:
            before, begun = slot.job, slot.begun
            progress, action = await self._reconciler.advance(
                Progress(before, slot.ledger, slot.effort, slot.outputs, slot.written_at)
            )
            if not slot.learn(progress.job, before):
                # It went meanwhile. If another one has its name by now, the watch has told of that, and the next step is about it.
                return None
            if slot.begun != begun:
                # Another process has begun an attempt meanwhile: what was learned here is of an earlier one.
                slot.waiting = True
                return None
            slot.ledger, slot.effort, slot.outputs = progress.ledger, progress.effort, progress.outputs
            stores = isinstance(action, Store)
            try:
                changed = await self._write(slot, at_once=stores)
            except Refused as error:
                if slot.job is None or slot.job.uid != before.uid:
                    return None
                if not (isinstance(action, Release) and before.deleting):
                    raise
                # It goes, and its status with it.
                self._forget_what_was_refused(slot, slot.job, error)
                return await self._release(slot, action)
            if slot.job is None or slot.job.uid != before.uid:
                return None
            # What is stored by now may have begun a deadline, or a time to live.
            if not stores and not (changed and _begins(before) != _begins(slot.job)):
                break
            if not changed:
                raise RuntimeError(
                    f"the status is to be stored, and nothing of it has changed: {slot.job.status.reason}"
                )
        slot.acknowledge()
        self._complain(slot)

        if isinstance(action, Release):
            return await self._release(slot, action)
        if isinstance(action, Expire):
            await self._jobs.delete(slot.job)
            log.info("%s/%s: deleted, ttlSecondsAfterFinished has passed", *key, extra=_extra(key))
            return None
        state = self._state(slot)
        self._conf_sources.follow(key, waited_for(state))
        live = Live.of(state)
        self._index(live)
        if live.hot or (state.presence.vanished and self._reconciler.missing_runs.needs_census(key)):
            self.wanted(live.run.airflow).set()
        times = [
            action.until if isinstance(action, Wait) else None,
            slot.refined_at + REFINEMENT_WAITS if slot.refined_at is not None else None,
            self._reconciler.confs.read_at(state),
        ]
        due = min((at for at in times if at is not None), default=None)
        return None if due is None else max(0.0, (due - self._clock()).total_seconds())

    def _complain(self, slot: Slot) -> None:
        """Say once for each run, and count, that Airflow has contradicted events."""
        job, known = slot.job, slot.disbelieved
        slot.disbelieved = slot.ledger.contradicted
        new = slot.disbelieved - known
        if not new or job is None:
            return
        self._meter.events_disbelieved(len(new))
        if not known:
            run = self._state(slot).run
            log.warning(
                "%s/%s: Airflow contradicts an event on run %s of DAG %s, which the status does not show any more; more of this run are only counted. "
                "A worker that stores the end of its task late does this, or somebody else who writes to the topic",
                *job.key,
                run.run_id,
                run.dag_id,
                extra={**_extra(job.key), "run_id": run.run_id},
            )

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
        if (slot := self._slots.get(key)) is not None:
            slot.anew = True
            self._wake(key)

    def _try_again(self, key: Key) -> None:
        """Airflow, or the check of the conf, may now take what it refused. After another refusal the next pause is longer all the same."""
        if (slot := self._slots.get(key)) is not None:
            slot.again = True
            self._wake(key)

    def _drop(self, key: Key) -> None:
        """An MLJob is gone, or has nothing more to do."""
        self._reconciler.drop(key)
        self._conf_sources.follow(key, ())

    def _wake_admitted(self) -> None:
        """Wake the MLJobs that may submit their runs now."""
        for key in self._reconciler.admitted():
            self._wake(key)

    def _index(self, live: Live) -> None:
        """Find backfills in progress by their DAGs."""
        dag = live.run.airflow, live.run.dag_id
        if live.backfill and live.submitted:
            self._backfills[dag].add(live.job.key)
        elif live.backfill and live.job.key in self._backfills.get(dag, ()):
            self._backfills[dag].discard(live.job.key)
            if not self._backfills[dag]:
                del self._backfills[dag]

    def _reserve(self, slot: Slot) -> None:
        self._reconciler.reserve(self._state(slot))

    def _of_each(self, question: Callable[[Slot], T], keys: Iterable[Key] | None = None) -> list[tuple[Key, T]]:
        """The answer of each MLJob that is known, or of those that are named.

        An MLJob that has no answer because of a defect is left out: whoever asks is asking on behalf of all. That MLJob's own steps complain.
        """
        answers = []
        for key in list(self._slots if keys is None else keys):
            slot = self._slots[key]
            if slot.job is None:
                continue
            try:
                answers.append((key, question(slot)))
            except Exception:
                log.debug("%s/%s: unexpected error", *key, exc_info=True)
        return answers

    def _state(self, slot: Slot) -> State:
        return self._reconciler.state(Progress(slot.job, slot.ledger, slot.effort, slot.outputs))

    async def _write(self, slot: Slot, *, at_once: bool) -> bool:
        """Store the status if it changed, and tell of it. What only says more exactly what is stored already may wait a while."""
        job = slot.job
        assert job is not None
        state = self._state(slot)
        redaction = await self._reconciler.redaction(state)
        ui_url = self._reconciler.ui_url(state.run.airflow)
        status = report(state, ui_url=ui_url, outputs=slot.outputs, redaction=redaction)
        patch = merge_patch(job.stored_status, status)
        if not patch:
            slot.refined_at = None
            return False
        if not at_once and not job.misread and not tells_news(job.stored_status, status) and state.current.open:
            slot.refined_at = slot.refined_at or self._clock()
            if self._clock() < slot.refined_at + REFINEMENT_WAITS:
                return False
        slot.refined_at = None
        started, asked_at = time.perf_counter(), asyncio.get_running_loop().time()
        written = await self._jobs.write_status(job, patch)
        slot.learn(written, job)
        if slot.effort.refused:
            slot.effort = replace(slot.effort, refused=False)
        slot.written_at = asked_at
        self._meter.status_written(time.perf_counter() - started)
        self._tell(written, job.status, written.status)
        return True

    def _forget_what_was_refused(self, slot: Slot, job: Job, error: Refused) -> None:
        """A status that is invalid stays so, whatever is learned next: what it was made of is dropped, counted and told of once."""
        self._meter.status_refused()
        if not slot.effort.refused:
            # It quotes what the status says, which is redacted, and what else is in the object.
            why = self._reconciler.confs.redaction_of(job).text(str(error))
            message = f"The Kubernetes API refused a status of this MLJob. What it was made of is dropped, and Airflow is asked again. {why}"
            self._record(job, Notice(WARNING, "StatusRefused", cut(message, MAX_MESSAGE)))
        slot.start_over(job)

    def _tell(self, job: Job, old: MLJobStatus, new: MLJobStatus) -> None:
        for notice in notices(old, new):
            self._record(job, notice)
        if new.phase in TERMINAL_PHASES and old.phase not in TERMINAL_PHASES:
            self._meter.job_finished(str(new.phase))
        if new.phase != old.phase:
            log.info(
                "%s/%s: %s, %s",
                job.namespace,
                job.name,
                new.phase,
                new.message,
                extra={**_extra(job.key), "run_id": new.dag_run_id, "phase": str(new.phase), "reason": new.reason},
            )

    async def _release(self, slot: Slot, action: Release) -> float | None:
        job = slot.job
        assert job is not None
        if action.abandoned:
            state = self._state(slot)
            told, _ = disclosed(state, None, self._reconciler.confs.redaction(state))
            trouble = told.effort.trouble
            message = (
                f"Gave up cancelling run {state.run.run_id} of DAG {state.run.dag_id} after "
                f"{job.spec.cancellation.timeout_seconds} s: it may still be active in Airflow. "
                f"{trouble.message if trouble else 'Airflow did not end it.'}"
            )
            log.warning("%s/%s: %s", *job.key, message, extra=_extra(job.key))
            # Before it goes: afterwards, nobody would know of the run. A namespace that is being deleted takes no more Events, and says so at once.
            await self._recorded(job, Notice(WARNING, "CancellationAbandoned", message[:1024]))
        if job.held:
            slot.learn(await self._jobs.set_finalizer(job, present=False), job)
        # A finished one may have a time to live.
        return 0.0 if slot.job is not None and slot.job.spec.ttl_seconds_after_finished is not None else None

    def _record(self, job: Job, notice: Notice) -> None:
        """Create a Kubernetes Event beside the work: it must not hold up a status."""
        task = asyncio.create_task(self._recorded(job, notice))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recorded(self, job: Job, notice: Notice) -> None:
        try:
            await self._jobs.record(job, notice)
        except OperatorError as error:
            log.warning("%s/%s: event %s was not recorded: %s", *job.key, notice.reason, error, extra=_extra(job.key))


def _begins(job: Job) -> tuple[datetime | None, bool]:
    """From when deadlines count, and whether a time to live does."""
    return job.status.active_since, job.settled


def _extra(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "job": key[1]}
