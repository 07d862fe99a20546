"""The workers of all MLJobs. Each MLJob has one worker while the operator has something to do for
the MLJob.

A worker runs steps (:mod:`.steps`), one at a time. A step reconciles the MLJob once. A step starts
when the worker is woken, or at the time that the previous step has set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from ...core.mljob.outstanding import is_done
from ...core.mljob.resource.job import Job
from ...core.mljob.transient_state import TransientState
from ...core.run.run_key import Key
from ...logs import redacted_logger, redacting
from ...ports import Meter
from .confs import Confs
from .expiries import Expiries, Expiry
from .look_ups import LookUps
from .paced_wake import PacedWake
from .steps import Steps
from .worker_state import WorkerState

log = redacted_logger(__name__)

T = TypeVar("T")

MAX_AWAKE = 200
"""The number of MLJobs that are kept in memory in the form that a step needs. The other MLJobs are
kept in a compact form (:meth:`.WorkerState.rest`), which takes an eighth of the memory. A step that
starts from the compact form takes a third of a millisecond longer.
"""
MAX_STARTS = 20
"""The maximum number of workers that start a step in one round of the event loop. A step may take a
millisecond before it waits for something. After a start of the operator, or a burst of events,
thousands of workers are due at once, and the renewal of the Lease must not wait for all of them.
"""
LONGEST_REPORT_PAUSE = 4.0
"""The longest pause in seconds before a report of progress, unless ``min_interval`` is longer. The
chart's alerts fire for statuses that are 5 seconds late, and a pause is no defect.
"""
LAST_STEPS = 1.0
"""The longest time in seconds for the steps that are running when the process is told to end. Most
steps take milliseconds. Another replica waits for these steps, and may act within 2 seconds. The
other replica repeats the work that a step has not completed.
"""


class Workers:
    """Keeps the workers of all MLJobs, and starts their steps. A step reconciles an MLJob once. All
    methods must be called in the event loop's thread.

    Args:
        steps: Runs one step of a worker.
        confs: Knows the values from Secrets, which must be hidden in log lines.
        look_ups: Limits the requests for MLJobs that were not read yet. A worker whose MLJob was not
            read yet starts a step when ``look_ups`` lets it.
        takeover_state: Returns the :class:`.TransientState` with which this process continues
            another process's attempt (:meth:`.Reconciler.takeover_state`).
        after_step: Called after each step, with the MLJob's key and its worker.
        drop: Called with the key of an MLJob that is deleted, or for which the operator has nothing
            left to do.
        meter: Records, for each step that stores a status, the time from the first wake-up for this
            step until the status is stored.
        min_interval: The minimum number of seconds from a patch of an MLJob's status until the next
            step of the MLJob.
    """

    def __init__(
        self,
        steps: Steps,
        confs: Confs,
        look_ups: LookUps,
        *,
        takeover_state: Callable[[Job], TransientState | None],
        after_step: Callable[[Key, WorkerState], None],
        drop: Callable[[Key], None],
        meter: Meter,
        min_interval: float,
    ) -> None:
        self._steps = steps
        self._confs = confs
        self._look_ups = look_ups
        self._takeover_state = takeover_state
        self._after_step = after_step
        self._drop = drop
        self._meter = meter
        self._min_interval = min_interval
        self._states: dict[Key, WorkerState] = {}
        self._awake: dict[Key, None] = {}
        self._due: dict[Key, None] = {}
        self._starts = 0
        self._expiries = Expiries(self.wake)
        self._paced = PacedWake(self.retry_now)
        self._closing = False
        self._holds = 0

    @contextmanager
    def hold_steps(self) -> Iterator[None]:
        """Return a context manager. While its block runs, no worker starts a step.

        The operator updates the admission queue in such a block, so that no MLJob is admitted
        before all entries of the queue are up to date.
        """
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            for key, worker in list(self._states.items()):
                if worker.needs_step:
                    self.wake(key)

    @property
    def tracked(self) -> Mapping[Key, WorkerState]:
        """The :class:`.WorkerState` of each MLJob that has a worker, by the MLJob's key."""
        return self._states

    @property
    def expiring(self) -> Mapping[Key, Expiry]:
        """The finished MLJobs that wait for the end of their time to live, each with its timer."""
        return self._expiries.pending

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The unfinished asyncio tasks that run steps, and the unfinished task of
        :meth:`retry_paced`.
        """
        return [*self._steps_under_way(), *self._paced.tasks]

    def get(self, key: Key) -> WorkerState | None:
        """Return the worker of an MLJob, or None if the MLJob has no worker."""
        return self._states.get(key)

    def get_or_add(self, key: Key) -> WorkerState:
        """Return the worker of an MLJob. If the MLJob has no worker, add a worker."""
        worker = self._states.get(key)
        if worker is None:
            worker = self._states[key] = WorkerState(self._takeover_state)
        return worker

    def remove(self, key: Key) -> None:
        """Remove the worker of a deleted MLJob. The MLJob must have a worker. If a step is running,
        the worker is removed at the end of the step.
        """
        worker = self._states[key]
        worker.forget()
        self._drop(key)
        if worker.task is None:
            self._end(key)
        else:
            worker.tracked = None

    def _end(self, key: Key) -> None:
        del self._states[key]
        self._awake.pop(key, None)

    def expire(self, seconds: float, job: Job) -> None:
        """Set a timer that wakes a finished MLJob after ``seconds``, the rest of the MLJob's time
        to live. Do nothing if a timer was set for this version or a later version of the MLJob.
        """
        if not self._expiries.covers(job):
            self._expiries.begin(seconds, job)

    def end_expiry(self, key: Key, uid: str) -> None:
        """Cancel the timer of a deleted MLJob (:meth:`expire`). A timer for another ``uid`` stays."""
        self._expiries.end(key, uid)

    def wake(self, key: Key) -> None:
        """Make the worker of an MLJob run a step as soon as possible. A finished MLJob with a timer
        (:meth:`expire`) gets a new worker. Any other MLJob without a worker is ignored. After
        :meth:`stop`, do nothing.
        """
        if self._closing:
            return
        worker = self.get_or_add(key) if self._expiries.end(key) else self._states.get(key)
        if worker is None:
            return
        worker.needs_step = True
        self.note_input(worker)
        worker.cancel_timers()
        if worker.task is None and not self._holds:
            self._start(key, worker)

    def note_input(self, worker: WorkerState) -> None:
        """Record the time of an input for the worker's next step, unless an earlier input waits for
        this step.
        """
        if worker.woken_at is None:
            worker.woken_at = asyncio.get_running_loop().time()

    def pause_of(self, worker: WorkerState, intervals: float = 1.0) -> float:
        """Return the seconds until ``intervals`` times ``min_interval`` have passed since the last
        patch of the MLJob's status. More than one interval counts as ``LONGEST_REPORT_PAUSE`` at
        most. Without ``intervals``, the result is the time until the worker's next step may start.
        If the result is not positive, the time has passed.
        """
        pause = max(self._min_interval, min(self._min_interval * intervals, LONGEST_REPORT_PAUSE))
        return worker.written_at + pause - asyncio.get_running_loop().time()

    def wake_after(self, key: Key, seconds: float) -> None:
        """Make the worker of an MLJob run a step after ``seconds`` at the latest. If a step is
        running, do nothing.
        """
        worker = self._states.get(key)
        if worker is None or worker.task is not None or self._closing:
            return
        at = asyncio.get_running_loop().time() + seconds
        if worker.timer is not None:
            if worker.timer.when() <= at:
                return
            # The step sets the timer for the later time again.
            worker.timer.cancel()
        worker.timer = asyncio.get_running_loop().call_at(at, self.wake, key)

    def report_after(self, key: Key, seconds: float, report: Callable[[Key], None]) -> None:
        """Call ``report`` with the key of an MLJob after ``seconds`` at the latest, unless a step of
        the MLJob starts before that time. The planned time of the next step (:meth:`wake_after`)
        stays, because ``report`` may start no step. If a step is running, do nothing.
        """
        worker = self._states.get(key)
        if worker is None or worker.task is not None or self._closing:
            return
        at = asyncio.get_running_loop().time() + seconds
        if worker.report_timer is not None:
            if worker.report_timer.when() <= at:
                return
            worker.report_timer.cancel()

        def end_pause() -> None:
            worker.report_timer = None
            report(key)

        worker.report_timer = asyncio.get_running_loop().call_at(at, end_pause)

    def _start(self, key: Key, worker: WorkerState) -> None:
        if worker.job is None:
            # The workers that wait for this are not due, so they delay no other worker.
            if not self._look_ups.begin(key):
                return
        else:
            self._look_ups.forget(key)
            if self._starts == 0:
                asyncio.get_running_loop().call_soon(self._next_round)
            if self._starts >= MAX_STARTS:
                self._due[key] = None
                return
            self._starts += 1
        self._due.pop(key, None)
        worker.task = asyncio.create_task(self._run(key, worker), name=f"mljob {key[0]}/{key[1]}")

    def _next_round(self) -> None:
        self._starts = 0
        while self._due and self._starts < MAX_STARTS:
            key = next(iter(self._due))
            del self._due[key]
            self.wake(key)

    def retry_now(self, key: Key) -> None:
        """Make an MLJob's worker repeat at once the last request that failed, without the rest of
        the backoff. The number of failures in a row is kept, so the backoff after another failure
        is longer.
        """
        if (worker := self._states.get(key)) is not None:
            worker.inbox.retry_now = True
            self.wake(key)

    def retry_paced(self, keys: Iterable[Key]) -> None:
        """Call :meth:`retry_now` for many MLJobs, in batches (:mod:`.paced_wake`)."""
        if not self._closing:
            self._paced.wake(keys)

    def forget_last_error(self, key: Key) -> None:
        """Make an MLJob's worker drop the last error and end the backoff, because the cause of the
        error may be gone.
        """
        if (worker := self._states.get(key)) is not None:
            worker.inbox.forget_error = True
            self.wake(key)

    def of_each(self, function: Callable[[WorkerState], T], keys: Collection[Key] | None = None) -> list[tuple[Key, T]]:
        """Call ``function`` with the worker of each MLJob. Return a list of pairs: the MLJob's
        key, and the result of ``function``.

        The list lacks MLJobs that were not read yet or are deleted, and MLJobs for which
        ``function`` raises an error. Such an error is only logged, with the level DEBUG.

        Args:
            function: Takes a worker.
            keys: The keys of MLJobs, each of which has a worker. None means all MLJobs that have a
                worker.
        """
        answers = []
        for key in list(self._states if keys is None else keys):
            worker = self._states[key]
            if worker.job is None:
                continue
            try:
                answers.append((key, function(worker)))
            except Exception:
                log.debug("%s/%s: unexpected error", *key, exc_info=True)
            self._keep_awake(key)
        return answers

    def _keep_awake(self, key: Key) -> None:
        self._awake.pop(key, None)
        self._awake[key] = None
        if len(self._awake) > MAX_AWAKE:
            oldest = next(iter(self._awake))
            del self._awake[oldest]
            if (worker := self._states.get(oldest)) is not None:
                worker.rest()

    def stop(self) -> None:
        """Start no more steps. Steps that are running continue."""
        self._closing = True
        self._due.clear()
        self._expiries.stop()
        self._paced.stop()
        self._look_ups.stop()
        for worker in self._states.values():
            worker.cancel_timers()

    async def close(self) -> None:
        """Start no more steps (:meth:`stop`), and wait for the running steps. Cancel the steps that
        have not ended ``LAST_STEPS`` (1.0) seconds after this call.
        """
        self.stop()
        if under_way := self._steps_under_way():
            _, late = await asyncio.wait(under_way, timeout=LAST_STEPS)
            for task in late:
                task.cancel()

    def _steps_under_way(self) -> list[asyncio.Task[None]]:
        return [worker.task for worker in self._states.values() if worker.task is not None]

    async def _measured(self, key: Key, worker: WorkerState) -> float | None:
        """Run a step (:meth:`.Steps.take`). If the step stores a status, record the time since the
        worker was first woken for this step.
        """
        (woken_at, worker.woken_at), written_at = (worker.woken_at, None), worker.written_at
        until = await self._steps.take(key, worker)
        if worker.awaits_turn or worker.failures:
            worker.woken_at = woken_at or worker.woken_at
        elif worker.written_at > written_at and woken_at is not None:
            self._meter.write_lag(asyncio.get_running_loop().time() - woken_at)
        return until

    async def _run(self, key: Key, worker: WorkerState) -> None:
        """Run steps until the MLJob needs no step now. Then set the timer for the next step, or
        remove the worker if the operator has nothing left to do for the MLJob.

        If the steps are held (:meth:`hold_steps`) or stopped (:meth:`stop`), or the MLJob has to wait
        until it can be read (:mod:`.look_ups`), while the MLJob needs a step, return without doing
        either.
        """
        redacting.set(lambda: self._confs.redaction_of(worker.job))
        until: float | None = None
        try:
            while worker.needs_step and not self._closing and not self._holds:
                if worker.job is None and not self._look_ups.begin(key):
                    return
                if (pause := self.pause_of(worker)) > 0:
                    await asyncio.sleep(pause)
                    # Steps may be held or stopped by now.
                    continue
                worker.needs_step = False
                until = await self._measured(key, worker)
                self._after_step(key, worker)
                if worker.failures and until is not None and worker.job is None:
                    self._look_ups.rest(key, until)
                    worker.needs_step = True
                elif worker.failures and until is not None:
                    # Sleep here instead of setting the timer, because new input would cancel the
                    # timer and so cut the backoff short.
                    await asyncio.sleep(until)
                    worker.needs_step = True
        finally:
            worker.task = None
            self._look_ups.end(key)
        if self._states.get(key) is not worker or worker.needs_step:
            return
        if worker.job is None or is_done(worker.job):
            worker.forget()
            self._drop(key)
            self._end(key)
            if worker.job is not None and until is not None:
                self._expiries.begin(until, worker.job)
        elif until is not None and not self._closing:
            worker.timer = asyncio.get_running_loop().call_later(max(0.0, until), self.wake, key)
