"""One queue an MLJob: whatever is learned of it, from the watch, from Kafka or from REST, goes through here, one step at a time.

So there is one writer of a status, and no lock. What arrives while a step is under way waits and is taken together by the next
one, which is how a burst becomes one patch: the first event of a quiet MLJob is written at once, the rest with the following
patch, at least ``min_interval`` later. A message's ``done`` is called when the status that holds it is stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mljob_contract.mljob import MLJobStatus

from .core.decisions import Effort, Release, Wait
from .core.facts import RunFact, Snapshot, TaskFact
from .core.job import Job, Key
from .core.ledger import Ledger, fold, observe, remember
from .core.notices import WARNING, Notice, notices
from .core.patches import merge_patch
from .core.phases import TERMINAL_PHASES, RunState
from .core.report import report
from .errors import Conflict, Gone, OperatorError, StoreError, backoff
from .ports import Clock, JobStore, Meter
from .reconciler import Progress, Reconciler

log = logging.getLogger(__name__)

Done = Callable[[], None]


@dataclass(slots=True)
class _Slot:
    """One MLJob's place: what is known, what has arrived, and the step under way."""

    job: Job | None = None
    ledger: Ledger = field(default_factory=Ledger)
    effort: Effort = field(default_factory=Effort)
    outputs: dict[str, object] | None = None
    facts: list[tuple[str, TaskFact | RunFact]] = field(default_factory=list)
    snapshots: list[tuple[str, Snapshot]] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    owed: list[Done] = field(default_factory=list)
    paused: bool | None = None
    doubt: bool = False
    waiting: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    written_at: float = 0.0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """An MLJob that is not finished, as the resync sees it.

    Attributes:
        run_id: Its dag run's id.
        ledger: What is known of the run.
        paused: Whether the run's DAG was paused when last looked at.
    """

    job: Job
    run_id: str
    ledger: Ledger
    paused: bool

    @property
    def queued(self) -> bool:
        """Whether the run waits for its first task."""
        return self.ledger.run is not None and self.ledger.run.state is RunState.QUEUED

    @property
    def hot(self) -> bool:
        """Whether a change is expected at any moment that may come without an event."""
        cancelling = self.job.deleting and self.job.held
        return cancelling or self.ledger.settling or (self.ledger.run is not None and not self.ledger.complete)


class JobQueue:
    """Queues and steps for all MLJobs. Everything runs in the event loop's thread.

    Args:
        reconciler: Decides and acts.
        jobs: Where statuses are written.
        ui_url: Airflow's base URL for people.
        min_interval: Seconds between two patches of one status.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        jobs: JobStore,
        clock: Clock,
        meter: Meter,
        *,
        ui_url: str,
        min_interval: float,
    ) -> None:
        self._reconciler = reconciler
        self._jobs = jobs
        self._clock = clock
        self._meter = meter
        self._ui_url = ui_url
        self._min_interval = min_interval
        self._slots: dict[Key, _Slot] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._closing = False
        self.wanted = asyncio.Event()
        """Set when something is worth a look at the change feed before its time."""

    # What arrives

    def observe(self, job: Job) -> None:
        """The watch delivered a version of an MLJob."""
        slot = self._slots.get(job.key)
        if slot is None:
            if job.status.phase in TERMINAL_PHASES and not job.held:
                return
            slot = self._slots[job.key] = _Slot(ledger=remember(job.status))
        if slot.job is not None and slot.job.uid != job.uid:
            # Deleted and created again under the same name: another story.
            self._forget(slot)
            slot.job, slot.ledger, slot.effort, slot.outputs = job, Ledger(), Effort(), None
        elif not job.newer_than(slot.job):
            return
        known = slot.job
        slot.job = job
        # Most versions are our own status patches coming back: they are nothing to act on.
        if known is None or (known.generation, known.deleted_at, known.held) != (
            job.generation,
            job.deleted_at,
            job.held,
        ):
            self._wake(job.key)

    def vanished(self, key: Key, uid: str) -> None:
        """The watch says that the MLJob is gone."""
        slot = self._slots.get(key)
        if slot is not None and slot.job is not None and slot.job.uid == uid:
            self._forget(slot)
            if slot.task is None:
                del self._slots[key]
            else:
                slot.job = None

    def tell(self, key: Key, run_id: str, fact: TaskFact | RunFact, done: Done) -> None:
        """An event said something of a run; ``done`` is called once that is stored, or known to concern nobody."""
        slot = self._slots.setdefault(key, _Slot())
        slot.facts.append((run_id, fact))
        slot.done.append(done)
        self._wake(key)

    def show(self, key: Key, run_id: str, snapshot: Snapshot) -> None:
        """Airflow's REST API said something of a run."""
        if (slot := self._slots.get(key)) is not None:
            slot.snapshots.append((run_id, snapshot))
            self._wake(key)

    def doubt(self, key: Key) -> None:
        """A run was not where it should be, or its tasks are not all known: ask for it."""
        if (slot := self._slots.get(key)) is not None:
            slot.doubt = True
            self._wake(key)

    def pause_seen(self, key: Key, *, paused: bool) -> None:
        """The run's DAG is paused, or not any more."""
        if (slot := self._slots.get(key)) is not None:
            slot.paused = paused
            self._wake(key)

    def live(self) -> list[Live]:
        """MLJobs that are not finished."""
        return [
            Live(slot.job, self._reconciler.run_id(slot.job), slot.ledger, slot.effort.paused)
            for slot in self._slots.values()
            if slot.job is not None and slot.job.status.phase not in TERMINAL_PHASES
        ]

    async def close(self) -> None:
        """Let steps under way finish, and start no more."""
        self._closing = True
        for slot in self._slots.values():
            if slot.timer is not None:
                slot.timer.cancel()
        under_way = [slot.task for slot in self._slots.values() if slot.task is not None]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=5)
            for task in late:
                task.cancel()
        if self._background:
            await asyncio.wait(self._background, timeout=2)

    # Steps

    def _wake(self, key: Key) -> None:
        slot = self._slots.get(key)
        if slot is None or self._closing:
            return
        slot.waiting = True
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        if slot.task is None:
            slot.task = asyncio.create_task(self._run(key, slot), name=f"mljob {key[0]}/{key[1]}")

    async def _run(self, key: Key, slot: _Slot) -> None:
        """Take steps until nothing more has arrived."""
        until: float | None = None
        try:
            while slot.waiting and not self._closing:
                slot.waiting = False
                pause = slot.written_at + self._min_interval - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                    slot.waiting = False
                until = await self._guarded_step(key, slot)
                if slot.failures and until is not None:
                    # Sleep here rather than by the timer: what arrives meanwhile must not cut the backoff short.
                    await asyncio.sleep(until)
                    slot.waiting = True
        finally:
            slot.task = None
        if self._slots.get(key) is not slot:
            return
        if slot.job is None or (slot.job.status.phase in TERMINAL_PHASES and not slot.job.held):
            self._forget(slot)
            del self._slots[key]
        elif until is not None and not self._closing:
            slot.timer = asyncio.get_running_loop().call_later(max(0.0, until), self._wake, key)

    async def _guarded_step(self, key: Key, slot: _Slot) -> float | None:
        """One step; seconds until the next one is due, or None."""
        try:
            until = await self._step(key, slot)
        except Conflict:
            slot.job = await self._read_again(key, slot)
            slot.waiting = True
            return None
        except Gone:
            slot.job = None
            self._forget(slot)
            return None
        except StoreError as error:
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

    async def _read_again(self, key: Key, slot: _Slot) -> Job | None:
        try:
            return await self._jobs.get(key)
        except StoreError as error:
            log.warning("%s/%s: %s", *key, error, extra=_extra(key))
            await asyncio.sleep(backoff(error, slot.failures + 1))
            return slot.job

    async def _step(self, key: Key, slot: _Slot) -> float | None:
        if slot.job is None:
            slot.job = await self._jobs.get(key)
            if slot.job is not None:
                slot.ledger = remember(slot.job.status)
        if slot.job is None or (slot.job.status.phase in TERMINAL_PHASES and not slot.job.held):
            self._forget(slot)
            return None
        run_id = self._reconciler.run_id(slot.job)
        self._take_in(slot, run_id)

        before = slot.job
        progress, action = await self._reconciler.advance(Progress(before, slot.ledger, slot.effort, slot.outputs))
        if slot.job is not None and slot.job.uid != before.uid:
            # Another object has the name by now; what was learned is of the old one.
            return None
        slot.ledger, slot.effort, slot.outputs = progress.ledger, progress.effort, progress.outputs
        if progress.job is None:
            raise Gone("the MLJob went while a finalizer was added")
        # A newer version may have come from the watch meanwhile; the patch must start from what is stored.
        if progress.job.newer_than(slot.job):
            slot.job = progress.job
        await self._write(slot, run_id)
        self._acknowledge(slot)

        if isinstance(action, Release):
            await self._release(slot, run_id, action)
            return None
        if Live(slot.job, run_id, slot.ledger, slot.effort.paused).hot:
            self.wanted.set()
        return _seconds_until(action, self._clock) if isinstance(action, Wait) else None

    def _take_in(self, slot: _Slot, run_id: str) -> None:
        """Fold what has arrived. What is about another run, an older attempt's or a namesake's, changes nothing."""
        facts, slot.facts = slot.facts, []
        slot.owed += slot.done
        slot.done = []
        snapshots, slot.snapshots = slot.snapshots, []
        slot.ledger = fold(slot.ledger, (fact for about, fact in facts if about == run_id))
        for about, snapshot in snapshots:
            if about == run_id:
                slot.ledger = observe(slot.ledger, snapshot)
        if slot.paused is not None:
            slot.effort = replace(slot.effort, paused=slot.paused)
            slot.paused = None
        if slot.doubt:
            slot.effort = replace(slot.effort, doubt=True)
            slot.doubt = False

    async def _write(self, slot: _Slot, run_id: str) -> None:
        """Store the status if it changed, and tell of it."""
        job = slot.job
        assert job is not None
        dag_id = job.status.dag_id or slot.effort.dag_id or job.spec.dag_id
        status = report(
            job,
            slot.ledger,
            slot.effort,
            dag_id=dag_id,
            run_id=run_id,
            ui_url=self._ui_url,
            now=self._clock(),
            outputs=slot.outputs,
        )
        patch = merge_patch(job.stored_status, status)
        if not patch:
            return
        started = time.perf_counter()
        slot.job = await self._jobs.write_status(job, patch)
        slot.written_at = time.monotonic()
        self._meter.status_written(time.perf_counter() - started)
        self._tell(slot.job, job.status, slot.job.status)

    def _tell(self, job: Job, old: MLJobStatus, new: MLJobStatus) -> None:
        for notice in notices(old, new, deleting=job.deleting):
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

    async def _release(self, slot: _Slot, run_id: str, action: Release) -> None:
        job = slot.job
        assert job is not None
        if action.abandoned:
            trouble = slot.effort.trouble
            message = (
                f"Gave up cancelling run {run_id} of DAG {job.status.dag_id or job.spec.dag_id} after "
                f"{job.spec.cancellation.timeout_seconds} s: it may still be active in Airflow. "
                f"{trouble.message if trouble else 'Airflow did not end it.'}"
            )
            log.warning("%s/%s: %s", *job.key, message, extra=_extra(job.key))
            # Beside the work: a namespace that is being deleted takes no more Events, and must not be held up by that.
            self._record(job, Notice(WARNING, "CancellationAbandoned", message[:1024]))
        if job.held:
            slot.job = await self._jobs.set_finalizer(job, present=False)

    def _record(self, job: Job, notice: Notice) -> None:
        """Create a Kubernetes Event beside the work: it must not hold up a status."""

        async def record() -> None:
            try:
                await self._jobs.record(job, notice)
            except OperatorError as error:
                log.warning(
                    "%s/%s: event %s was not recorded: %s", *job.key, notice.reason, error, extra=_extra(job.key)
                )

        task = asyncio.create_task(record())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _acknowledge(self, slot: _Slot) -> None:
        """What was folded is stored."""
        owed, slot.owed = slot.owed, []
        for done in owed:
            done()

    def _forget(self, slot: _Slot) -> None:
        """Nobody is left who needs what has arrived."""
        slot.owed += slot.done
        slot.done, slot.facts, slot.snapshots = [], [], []
        self._acknowledge(slot)
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None


def _seconds_until(action: Wait, clock: Clock) -> float | None:
    return None if action.until is None else max(0.0, (action.until - clock()).total_seconds())


def _extra(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "job": key[1]}
