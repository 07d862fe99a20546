"""Reads the change feed of an Airflow: the REST API's list of all runs and task instances that have
changed since a given time.

Kafka events may be lost or late, and Airflow sends no event for the task states queued, deferred,
upstream_failed and removed. So the operator also reads the states of runs and tasks from the REST
API.

A pass is one read of the feed. The number of requests in a pass depends on the number of changes,
not on the number of MLJobs. The next pass usually starts ``interval`` seconds after the end of a
pass. The next pass starts ``hot_interval`` seconds after the end of a pass if the operator expects
a change for which there may be no event, for example the end of a run whose tasks have all ended.
If a pass takes long, because there are many changes or Airflow is slow, this pause is longer
(``HOT_PAUSE``).

Each pass also requests changes that earlier passes may have read, because Airflow shows some
changes late (see :mod:`.feed_windows`).

After a start or a long outage of Airflow, the changes since the watermark may be too many to be
read. The next pass would find even more changes. So the reader goes on with the changes since this
pass, and requests each run in progress by itself.

Once a minute, the reader also lists all active runs. This relist may take minutes, so the passes go
on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from mljob_contract.run_id import RunId

from ..controllers.long_loops import in_turns
from ..controllers.mljob.controller import MLJobController
from ..controllers.mljob.feed_index import FollowedRuns
from ..controllers.orphans import Orphans
from ..core.mljob import attempts
from ..core.run.backfill import BackfillRun
from ..core.run.facts import RunFact, Snapshot, TaskFact
from ..core.run.halt import Halt
from ..core.run.observed_run import ABSENCE_CONFIRMED_AFTER
from ..core.run.run_key import Key, RunKey
from ..errors import AirflowError, AirflowListTooLong, backoff
from ..ports import Airflows, Clock, DagRuns, Meter, RunChange, TaskChange
from .feed_windows import OVERLAP, FeedWindows, Window

log = logging.getLogger(__name__)

T = TypeVar("T")

SKEW = timedelta(seconds=5)
"""The largest tolerated difference between the clocks of Airflow's hosts. One host queues a run,
and other hosts change the run's task instances.
"""
RELIST_INTERVAL = timedelta(seconds=60)
"""The interval of the relist, which lists all active runs. The change feed lacks two kinds of runs:
deleted runs, and runs that a user cleared while the operator was not running. While a missing run
can count as deleted only after a relist, the interval is ``ABSENCE_CONFIRMED_AFTER``, unless the last
list was too long to be read.
"""

HALT_CHECK_INTERVAL = timedelta(seconds=4)
"""The interval of checks whether the DAGs of runs in progress are halted. A DAG is halted if it is
paused, or if no DAG file has it any more.
"""
HALTS_PER_CHECK = 20
"""The maximum number of DAGs that a check requests one by one. For further DAGs, the check requests
the list of the paused DAGs.
"""

HOT_PAUSE = 4.0
"""While the operator expects a change for which there may be no event, the pause after a pass lasts
at least this many times as long as the pass, but at most ``interval``. Without this pause, passes
over many changes would occupy Airflow and the operator most of the time.
"""


class ChangeFeedReader:
    """Reads the change feed of one Airflow every few seconds, and passes the changes to the workers
    of the MLJobs.

    Args:
        airflow: The Airflow's name.
        airflows: Gives access to the Airflow.
        controller: Receives the changes.
        clock: Returns the current time.
        meter: Records the metrics.
        orphans: Looks for orphaned runs: active runs that no MLJob follows.
        prefix: The prefix of the operator's dag run ids.
        interval: Seconds between two reads of the feed.
        hot_interval: The fewest seconds between two reads while the operator expects a change for
            which there may be no event. If ``interval`` is shorter, ``interval`` is used.
    """

    def __init__(
        self,
        airflow: str,
        airflows: Airflows,
        controller: MLJobController,
        clock: Clock,
        meter: Meter,
        orphans: Orphans,
        *,
        prefix: str,
        interval: float,
        hot_interval: float = 1.0,
    ) -> None:
        self._airflow = airflow
        self._airflows = airflows
        self._controller = controller
        self._clock = clock
        self._meter = meter
        self._orphans = orphans
        self._prefix = prefix
        self._interval = interval
        self._hot_interval = min(hot_interval, interval)
        self._windows = FeedWindows(interval)
        self._relisted_at: datetime | None = None
        self._relisting: asyncio.Task[None] | None = None
        self._relist_too_long = False
        self._backfills_read_at: datetime | None = None
        self._failures = 0
        self._halts_checked_at: datetime | None = None
        self._last_checks: dict[str, int] = {}
        self._checks = 1

    async def run(self) -> None:
        """Read the change feed every few seconds until the asyncio task is cancelled."""
        try:
            await self._read_on()
        finally:
            if self._relisting is not None:
                self._relisting.cancel()

    async def _read_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            early_pass = self._controller.early_pass(self._airflow)
            early_pass.clear()
            began = loop.time()
            delay, hot = await self.guarded_pass()
            if hot:
                pause = max(self._hot_interval, HOT_PAUSE * (loop.time() - began))
                await asyncio.sleep(min(pause, self._interval))
                continue
            try:
                async with asyncio.timeout(delay):
                    await early_pass.wait()
                # A burst of new runs wakes the reader many times. After this pause, one pass covers
                # all of them.
                await asyncio.sleep(self._hot_interval / 4)
            except TimeoutError:
                pass

    async def guarded_pass(self) -> tuple[float, bool]:
        """Read the change feed once. If this fails, count the failure. Only the first of several
        failures in a row is logged.

        Returns:
            The delay before the next read, in seconds, and whether the operator expects a change
                for which there may be no Kafka event. If the operator expects such a change, the
                next read must not wait for the delay.
        """
        try:
            await self.pass_once()
            hot = self._followed.is_hot(self._clock())
        except AirflowError as error:
            return self._failed(error), False
        except Exception:
            # A defect must not end the reader. Only the first of several failures in a row is
            # logged with its traceback, because the next passes may fail in the same way.
            if not self._failures:
                log.exception("%s: unexpected error", self._name)
            return self._failed(AirflowError("unexpected error")), False
        if self._failures:
            log.info("%s: the change feed can be read again", self._name)
        self._failures = 0
        self._meter.resync(self._airflow, "ok")
        return self._interval, hot

    def _failed(self, error: AirflowError) -> float:
        self._failures += 1
        if self._failures == 1:
            log.warning(
                "%s: the change feed can't be read; until it can, statuses come only from events in Kafka, if there are any: %s",
                self._name,
                error,
            )
        self._meter.resync(self._airflow, "failed")
        self._airflows.request_probe(self._airflow)
        return max(self._interval, backoff(error, self._failures))

    async def pass_once(self) -> None:
        """Read the changes since the last successful read, and pass the changes to the workers of
        the MLJobs. If the changes are too many to be read, let these workers request their runs
        instead. Then check which DAGs are halted (paused, or in no DAG file) if this check is
        due. Finally, list all active runs of the operator if this list is due. If this list takes
        longer than ``interval``, the list goes on in the background.

        Raises:
            AirflowError: A request failed. If a request for changes has failed, the next read
                requests the same changes again. The failed request may also be the list that an
                earlier call has begun.
        """
        followed, started = self._followed, self._clock()
        dag_runs, rows_before = self._dag_runs, self._dag_runs.rows_read
        following = self._windows.next(started)
        window = following or Window(await self._first() - OVERLAP, is_wide=True, started=started)
        since = window.since
        runs = await self._changes(self._dag_runs.changed_runs, since)
        # If no run is in progress, the task instances are not requested. A user may still have
        # cleared the run of a finished MLJob, but the list of runs shows this.
        tasks = await self._changes(self._dag_runs.changed_tasks, since) if followed.submitted else []

        of_run: dict[RunKey, tuple[list[RunFact], list[TaskFact]]] = defaultdict(lambda: ([], []))
        for change in runs or ():
            of_run[self._run(change)][0].append(change.fact)
        for task in tasks or ():
            of_run[self._run(task)][1].append(task.fact)
        async for run, (run_facts, task_facts) in in_turns(of_run.items()):
            if (key := self._key(run.run_id)) is not None:
                self._pass_on(key, run, run_facts, task_facts, since, started)
        await self._pass_on_backfills(since, started)
        if runs is None or tasks is None:
            async for key in in_turns(sorted(followed.submitted)):
                self._controller.request_look_up(key)
        elif following is None:
            for key in sorted(followed.unread & followed.submitted.keys()):
                if followed.submitted[key] not in of_run:
                    self._controller.request_look_up(key)
        rows = None if runs is None or tasks is None else dag_runs.rows_read - rows_before
        self._windows.passed(window, self._dag_runs.clock_offset, rows)
        await self._check_halts(started)
        await self._relist(started)

    async def _changes(self, request: Callable[[datetime], Awaitable[list[T]]], since: datetime) -> list[T] | None:
        """Return the result of ``request(since)``, or None if the list is too long to be read."""
        try:
            return await request(since)
        except AirflowListTooLong as error:
            log.warning(
                "%s: the changes since %s are too many to be read, so the runs in progress are requested one by one: %s",
                self._name,
                since.isoformat(timespec="seconds"),
                error,
            )
            return None

    def _pass_on(
        self,
        key: Key,
        run: RunKey,
        run_facts: Sequence[RunFact],
        task_facts: Sequence[TaskFact],
        since: datetime,
        started: datetime,
    ) -> None:
        """Pass the changes of one run to the worker of the MLJob.

        Args:
            key: The MLJob that the run's id names. If the MLJob has another run in progress, all
                changes are dropped. This does not apply to an MLJob of type Backfill.
            run: The run.
            run_facts: The changes of the run.
            task_facts: The changes of the run's task instances. These changes are dropped if the
                MLJob has no run in progress, or is of type Backfill.
            since: The time, on Airflow's clock, since which the feed shows all changes.
            started: When this read of the feed began, on the operator's clock.
        """
        state = self._controller.lister.state(key, self._airflow)
        if state is None or not state.current.active or state.job.is_backfill:
            for fact in run_facts:
                self._controller.observe_run(key, run, Snapshot(started, run=fact))
            return
        if state.run != run:
            return
        run_fact = run_facts[-1] if run_facts else state.observed_run.run
        queued_at = run_fact.queued_at if run_fact else None
        # A cleared run has a new queued time. But the feed lacks the tasks of the run that had
        # succeeded before, so the snapshot of a cleared run is not complete.
        cleared = attempts.goes_on(state.job.status)
        self._controller.observe_run(
            key,
            run,
            Snapshot(
                started,
                run=run_facts[-1] if run_facts else None,
                tasks=tuple(task_facts),
                # The changes after ``since`` include all tasks of a run that was queued after
                # ``since``, if the run was there before the tasks were requested.
                complete=bool(run_facts and task_facts)
                and queued_at is not None
                and queued_at > since + SKEW
                and not cleared,
            ),
        )

    async def _pass_on_backfills(self, since: datetime, now: datetime) -> None:
        """Request the backfill runs whose last change is at or after ``since``. Pass these runs to
        the workers of the MLJobs of type Backfill.

        A changed run does not show whether the backfill itself was paused, closed or deleted. So
        every ``RELIST_INTERVAL``, and if the list of changes is too long, each of these workers
        also requests its backfill from Airflow. Until a worker knows that Airflow has created the
        runs of its backfill, the worker requests the backfill after each read of the feed.
        """
        followed = self._followed
        if not followed.backfills:
            return
        members: dict[RunKey, list[BackfillRun]] = defaultdict(list)
        changes = await self._changes(self._dag_runs.backfills.changed, since)
        for change in changes or ():
            members[RunKey(self._airflow, change.dag_id, change.marker.run_id)].append(change.member)
        for backfill, changed in members.items():
            if (owner := followed.backfills.get(backfill)) is not None:
                self._controller.observe_backfill_runs(owner, backfill, changed)
        due = changes is None or _is_due(now, self._backfills_read_at, RELIST_INTERVAL)
        if due:
            self._backfills_read_at = now
        of_backfills = followed.backfills.values()
        for key in sorted(of_backfills if due else followed.unread.intersection(of_backfills)):
            self._controller.request_look_up(key)

    @property
    def _followed(self) -> FollowedRuns:
        return self._controller.lister.followed(self._airflow)

    @property
    def _dag_runs(self) -> DagRuns:
        return self._airflows.dag_runs(self._airflow)

    @property
    def _name(self) -> str:
        return f"AirflowInstance {self._airflow}" if self._airflow else "Airflow"

    async def _first(self) -> datetime:
        """Return the time, on Airflow's clock, since which the first read of the feed needs all
        changes: the oldest ``status.submitTime`` of the unfinished MLJobs in this Airflow. If none
        of these MLJobs has a ``submitTime``, return the current time.
        """
        states = in_turns(self._controller.lister.unfinished(self._airflow))
        submitted = [at async for state in states if (at := state.job.status.submit_time) is not None]
        return min(submitted, default=self._clock() + self._dag_runs.clock_offset)

    async def _check_halts(self, now: datetime) -> None:
        """Find out which DAGs of runs in progress are halted: paused, or in no DAG file. Airflow
        sends no event about this. The check happens at most once in ``HALT_CHECK_INTERVAL``.

        At most ``HALTS_PER_CHECK`` DAGs are requested one by one. DAGs whose runs have no active
        task come before other DAGs, because a halted DAG starts no tasks. Within each of these two
        groups, the DAG whose last request is the longest ago comes first. All further DAGs are only
        looked up in Airflow's list of paused DAGs.
        """
        dags = self._followed.dags
        if not dags or not _is_due(now, self._halts_checked_at, HALT_CHECK_INTERVAL):
            return
        self._halts_checked_at = now
        self._last_checks = {dag_id: self._last_checks.get(dag_id, 0) for dag_id in dags}
        ordered = sorted(dags, key=lambda dag_id: (bool(dags[dag_id].moving), self._last_checks[dag_id], dag_id))
        first, remaining = ordered[:HALTS_PER_CHECK], ordered[HALTS_PER_CHECK:]
        found = await self._dag_runs.halts(first)
        self._last_checks |= dict.fromkeys(first, self._checks)
        self._checks += 1
        for dag_id, halt in found.items():
            self._observe_halt(dag_id, halt)
        if not remaining:
            return
        paused = await self._dag_runs.paused_dags()
        for dag_id in remaining:
            # The list of paused DAGs does not show whether a DAG is still stale.
            self._observe_halt(dag_id, Halt.PAUSED if dag_id in paused else None, unless=Halt.STALE)

    def _observe_halt(self, dag_id: str, halt: Halt | None, *, unless: Halt | None = None) -> None:
        """Tell the workers of the MLJobs with a run of this DAG why the DAG is halted (schedules no
        tasks), or that the DAG is not halted.

        Args:
            dag_id: The DAG's id.
            halt: The reason, or None if the DAG is not halted.
            unless: Another reason. Workers that were last told this reason are told nothing.
        """
        for key in self._followed.differing(dag_id, halt, unless):
            self._controller.observe_halt(key, halt)

    async def _relist(self, now: datetime) -> None:
        """Begin a relist (:meth:`_compare_active_runs`) if no relist is under way and the next one
        is due (see ``RELIST_INTERVAL``). Wait for its end, but at most ``interval``, so that a long
        list does not delay the next read of the feed. If a relist has failed, raise its error.
        """
        if self._relisting is None:
            if not self._is_relist_due(now):
                return
            self._relisting = asyncio.create_task(
                self._compare_active_runs(now), name=f"relist {self._airflow}".strip()
            )
            await asyncio.wait([self._relisting], timeout=self._interval)
        if self._relisting.done():
            ended, self._relisting = self._relisting, None
            ended.result()

    def _is_relist_due(self, now: datetime) -> bool:
        is_urgent = self._controller.vanished_runs.wants_relist(self._airflow) and not self._relist_too_long
        return _is_due(now, self._relisted_at, ABSENCE_CONFIRMED_AFTER if is_urgent else RELIST_INTERVAL)

    async def _active_runs(self) -> list[RunChange] | None:
        """Return the active runs of the operator, or None if the list is too long to be read. Only
        the first of several such lists in a row is logged.
        """
        try:
            active = await self._dag_runs.active_runs()
        except AirflowListTooLong as error:
            if not self._relist_too_long:
                log.warning(
                    "%s: the list of active runs is too long to be read, so the operator finds neither deleted runs, "
                    "nor orphaned runs, nor runs that were cleared while no operator ran. "
                    "Statuses of other runs are up to date. "
                    "End active runs that nobody needs, or make Airflow's API server answer faster. "
                    "The list is requested every %.0f s: %s",
                    self._name,
                    RELIST_INTERVAL.total_seconds(),
                    error,
                )
            active = None
        else:
            if self._relist_too_long:
                log.info("%s: the list of active runs can be read again", self._name)
        self._relist_too_long = active is None
        self._relisted_at = self._clock()
        return active

    async def _compare_active_runs(self, now: datetime) -> None:
        """Request all active runs of the operator, and compare these runs with the runs of the
        MLJobs. If the list is too long to be read, compare nothing.

        The comparison finds:

        - MLJobs in progress whose run is not in Airflow's answer, or whose worker does not know all
          tasks of the run. The worker then requests the run from Airflow, unless the run was
          submitted less than ``OVERLAP`` ago.
        - Finished MLJobs whose run was cleared by a user while the operator was not running. Such
          an MLJob gets a worker again.
        - Active runs that no MLJob follows.
        """
        # The runs of MLJobs that are submitted after the request are not in the list.
        followed = self._followed
        in_progress, runs = dict(followed.in_progress), set(followed.runs.values())
        submitted = set(followed.submitted)
        active = await self._active_runs()
        if active is None:
            return
        for change in active:
            owner = self._key(change.run_id)
            if owner is not None and (owner not in submitted or owner in self._followed.missed):
                self._controller.observe_run(owner, self._run(change), Snapshot(now, run=change.fact))
        listed = {self._run(change) for change in active}
        unlisted = [key for key, run in in_progress.items() if key not in submitted or run not in listed]
        self._controller.vanished_runs.relist(self._airflow, now, unlisted)
        # After a start, the feed has the tasks of thousands of runs. The next steps of these MLJobs
        # read the tasks, so these MLJobs need no look-up.
        lister = self._controller.lister
        unread = [key for key in followed.unread if not lister.has_pending_reconciliation(key)]
        async for key in in_turns(sorted(submitted.intersection([*unlisted, *unread]))):
            state = lister.state(key, self._airflow)
            if state is not None and abs(now - (state.job.status.submit_time or now)) > OVERLAP:
                self._controller.request_look_up(key)
        if not self._controller.vanished_runs.have_vanished(self._airflow):
            await self._orphans.relist(self._airflow, now, active, runs)

    def _run(self, change: RunChange | TaskChange) -> RunKey:
        return RunKey(self._airflow, change.dag_id, change.run_id)

    def _key(self, run_id: str) -> Key | None:
        run = RunId.parse(run_id)
        return (run.namespace, run.name) if run is not None and run.prefix == self._prefix else None


def _is_due(now: datetime, last: datetime | None, interval: timedelta) -> bool:
    """Return whether ``interval`` has passed since ``last``. The result is also True if ``last`` is
    None, or is after ``now`` because the clock was set back.
    """
    return last is None or not last <= now < last + interval
