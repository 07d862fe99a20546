"""Reads the change feed of an Airflow: all changes of runs since a watermark, from the REST API.

Events may be lost, late, or never sent (airflow.listeners has no hook for queued, retry, deferred,
upstream_failed or removed), so the states in the REST API are the level of the level-triggered
operator. Every ``interval`` seconds two requests ask for the runs and task instances with the
operator's prefix that have changed; the number of pages depends on the changes, not on the number
of MLJobs. The feed is read every ``hot_interval`` while a change is expected that may come without
an event: all tasks of a run have ended, a run is being cancelled, or its tasks are not known yet.

The watermark is a time of Airflow's clock, minus an overlap: a row has the time at which its
transaction began, and becomes visible when the transaction ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from mljob_contract.run_id import RunId

from ..controllers.mljob.controller import MLJobController
from ..controllers.orphans import Orphans
from ..core.mljob import attempts
from ..core.mljob.activity import is_hot, is_in_progress, is_still
from ..core.mljob.state import State
from ..core.run.backfill import BackfillRun
from ..core.run.facts import RunFact, Snapshot, TaskFact
from ..core.run.halt import Halt
from ..core.run.observed_run import ABSENCE_TAKES, GRACE
from ..core.run.run_key import Key, RunKey
from ..errors import AirflowError, backoff
from ..ports import Airflows, Clock, DagRuns, Meter, RunChange, TaskChange

log = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=12)
"""How far a pass reaches back before the last pass: longer than GRACE and the longest
transaction."""
SKEW = timedelta(seconds=5)
"""The largest difference between the clocks of Airflow's hosts: one host queues a run, and others
change its task instances."""
CENSUS_INTERVAL = timedelta(seconds=60)
"""The interval of listing the active runs (the census). The change feed doesn't contain deleted
runs, and a run that was cleared while no operator was running is in an old part of the feed."""

HALTS_EVERY = timedelta(seconds=4)
"""The interval of requests for the DAGs of runs in progress."""
HALTS_A_LOOK = 20
"""The number of DAGs that are requested one by one per interval. For the others, a list of the
paused DAGs is requested."""

assert OVERLAP > 2 * GRACE


class ChangeFeedReader:
    """Reads the change feed of one Airflow. Each Airflow has a reader, so no reader waits for
    another.

    Args:
        airflow: The Airflow's name.
        airflows: Gives access to the Airflow.
        queue: Receives the changes.
        orphans: Checks each census for orphaned runs.
        prefix: The prefix of the operator's dag run ids.
        interval: Seconds between passes.
        hot_interval: Seconds between passes while a change is expected at any moment.
    """

    def __init__(
        self,
        airflow: str,
        airflows: Airflows,
        queue: MLJobController,
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
        self._queue = queue
        self._clock = clock
        self._meter = meter
        self._orphans = orphans
        self._prefix = prefix
        self._interval = interval
        self._hot_interval = min(hot_interval, interval)
        self._watermark: datetime | None = None
        self._census_at: datetime | None = None
        self._failures = 0
        self._halts_at: datetime | None = None
        self._halts_asked: dict[str, int] = {}
        self._looks = 1

    async def run(self) -> None:
        """Make passes until cancelled."""
        while True:
            wanted = self._queue.wanted(self._airflow)
            wanted.clear()
            delay, hot = await self.guarded_pass()
            if hot:
                await asyncio.sleep(self._hot_interval)
                continue
            try:
                async with asyncio.timeout(delay):
                    await wanted.wait()
                # Let a burst of first events gather before the feed is asked.
                await asyncio.sleep(self._hot_interval / 4)
            except TimeoutError:
                pass

    async def guarded_pass(self) -> tuple[float, bool]:
        """Make one pass; seconds until the next pass, and whether a change is expected before
        it.
        """
        try:
            await self.pass_once()
            hot = any(is_hot(live, self._clock()) for live in self._queue.live(self._airflow))
        except AirflowError as error:
            return self._failed(error), False
        except Exception:
            # The next pass may fail in the same way. A defect must not end the reader.
            if not self._failures:
                log.exception("%s: unexpected error", self._name)
            return self._failed(AirflowError("unexpected error")), False
        if self._failures:
            log.info("%s: the change feed can be read again", self._name)
        self._failures = 0
        self._meter.resync(self._airflow, "ok")
        return self._interval, hot

    def _failed(self, error: AirflowError) -> float:
        """Record a failed pass; seconds until the next pass."""
        self._failures += 1
        if self._failures == 1:
            log.warning("%s: the change feed can't be read; statuses come from Kafka alone: %s", self._name, error)
        self._meter.resync(self._airflow, "failed")
        self._airflows.doubt(self._airflow)
        return max(self._interval, backoff(error, self._failures))

    async def pass_once(self) -> None:
        """Read the changes since the last successful pass, and pass them to the workers.

        Raises:
            AirflowError: A request failed; the watermark stays.
        """
        lives = self._queue.live(self._airflow)
        submitted = {live.job.key: live for live in lives if live.current.active and not live.job.is_backfill}
        backfills = {live.run: live for live in lives if live.current.active and live.job.is_backfill}
        started = self._clock()
        since = (self._watermark or self._first(lives)) - OVERLAP
        runs = await self._dag_runs.changed_runs(since)
        # Without a run in progress, the only change of interest is that a user cleared the run of a
        # finished MLJob, which the list of runs shows.
        tasks = await self._dag_runs.changed_tasks(since) if submitted else []

        followed = {live.run: live for live in submitted.values()}
        of_run: dict[RunKey, tuple[list[RunFact], list[TaskFact]]] = defaultdict(lambda: ([], []))
        for change in runs:
            run, key = self._run(change), self._key(change.run_id)
            if run in followed:
                of_run[run][0].append(change.fact)
            elif key is not None and key not in submitted:
                self._queue.show(key, run, Snapshot(started, run=change.fact))
        for task in tasks:
            if (run := self._run(task)) in followed:
                of_run[run][1].append(task.fact)
        for run, (run_facts, task_facts) in of_run.items():
            live = followed[run]
            run_fact = run_facts[-1] if run_facts else live.observed_run.run
            queued_at = run_fact.queued_at if run_fact else None
            # A run that was cleared looks young, but the feed lacks the tasks that had succeeded
            # before.
            cleared = attempts.goes_on(live.job.status)
            self._queue.show(
                live.job.key,
                run,
                Snapshot(
                    started,
                    run=run_facts[-1] if run_facts else None,
                    tasks=tuple(task_facts),
                    # All tasks of a run that is younger than the watermark are in the feed.
                    complete=queued_at is not None and queued_at > since + SKEW and bool(task_facts) and not cleared,
                ),
            )
        await self._follow(backfills, since, started)
        first_pass = self._watermark is None
        self._watermark = started + self._dag_runs.clock_offset
        await self._look_for_halts(lives, started)
        in_progress = [live for live in lives if live.current.active and not live.observed_run.over]
        await self._take_census(
            submitted, in_progress, started, of_run, {live.run for live in lives}, first_pass=first_pass
        )

    async def _follow(self, backfills: dict[RunKey, State], since: datetime, now: datetime) -> None:
        """Runs of backfills, by one request for all of them. What is no run's (that one is paused,
        closed, gone) is asked for by itself, seldom.
        """
        if not backfills:
            return
        members: dict[RunKey, list[BackfillRun]] = defaultdict(list)
        for change in await self._dag_runs.backfills.changed(since):
            members[RunKey(self._airflow, change.dag_id, change.marker.run_id)].append(change.member)
        due = self._census_at is None or now >= self._census_at + CENSUS_INTERVAL
        for backfill, live in backfills.items():
            if backfill in members:
                self._queue.follow(live.job.key, backfill, members[backfill])
            if due or live.observed_run.observed_backfill is None or not live.observed_run.observed_backfill.made:
                self._queue.doubt(live.job.key)

    @property
    def _dag_runs(self) -> DagRuns:
        return self._airflows.dag_runs(self._airflow)

    @property
    def _name(self) -> str:
        return f"AirflowInstance {self._airflow}" if self._airflow else "Airflow"

    def _first(self, lives: list[State]) -> datetime:
        """The first watermark after a start: the submission of the oldest run in progress."""
        submitted = [live.job.status.submit_time for live in lives if live.job.status.submit_time]
        return min(submitted, default=self._clock()) + self._dag_runs.clock_offset

    async def _look_for_halts(self, lives: list[State], now: datetime) -> None:
        """Find out which DAGs are paused or in no file any more: their runs stop without any event.

        One request per DAG covers all runs of the DAG. The DAGs whose runs all stand still come
        first, then the DAGs whose last request is the longest ago.
        """
        watched = [live for live in lives if is_in_progress(live) or live.transient.halt is not None]
        if not watched or (self._halts_at is not None and now < self._halts_at + HALTS_EVERY):
            return
        self._halts_at = now
        moving = {live.run.dag_id for live in watched if not is_still(live)}
        dag_ids = {live.run.dag_id for live in watched}
        self._halts_asked = {dag_id: self._halts_asked.get(dag_id, 0) for dag_id in dag_ids}
        ordered = sorted(dag_ids, key=lambda dag_id: (dag_id in moving, self._halts_asked[dag_id], dag_id))
        first, others = ordered[:HALTS_A_LOOK], set(ordered[HALTS_A_LOOK:])
        found = await self._dag_runs.halts(first)
        self._halts_asked |= dict.fromkeys(first, self._looks)
        self._looks += 1
        paused = await self._dag_runs.paused_dags() if others else set()
        for live in watched:
            dag_id = live.run.dag_id
            if dag_id in found:
                seen = found[dag_id]
            elif dag_id in others and Halt.STALE is not live.transient.halt:
                seen = Halt.PAUSED if dag_id in paused else None
            else:
                continue
            if seen is not live.transient.halt:
                self._queue.halt_seen(live.job.key, seen)

    async def _take_census(
        self,
        submitted: dict[Key, State],
        in_progress: Collection[State],
        now: datetime,
        seen: Collection[RunKey],
        followed: Collection[RunKey],
        *,
        first_pass: bool,
    ) -> None:
        """Compare the active runs with the MLJobs.

        Only runs that contradict their MLJob are requested one by one. Runs that a user cleared
        while no operator read the feed are followed again.
        """
        for key, live in submitted.items():
            if first_pass and live.run not in seen and not live.observed_run.complete:
                self._queue.doubt(key)
        every = ABSENCE_TAKES if self._queue.wants_census(self._airflow) else CENSUS_INTERVAL
        if self._census_at is not None and now < self._census_at + every:
            return
        active = await self._dag_runs.active_runs()
        self._census_at = now
        for change in active:
            of = self._key(change.run_id)
            found = of is not None and of in submitted and submitted[of].observed_run.missed_at is not None
            if of is not None and (found or of not in submitted):
                self._queue.show(of, self._run(change), Snapshot(now, run=change.fact))
        there = {self._run(change) for change in active}
        unlisted = [live.job.key for live in in_progress if live.job.is_backfill or live.run not in there]
        self._queue.census(self._airflow, now, unlisted)
        for key, live in submitted.items():
            age = now - (live.job.status.submit_time or now)
            missing = live.run not in there and not live.observed_run.over
            if age > OVERLAP and (missing or not live.observed_run.complete):
                self._queue.doubt(key)
        if not self._queue.have_vanished(self._airflow):
            await self._orphans.census(self._airflow, now, active, followed)

    def _run(self, change: RunChange | TaskChange) -> RunKey:
        return RunKey(self._airflow, change.dag_id, change.run_id)

    def _key(self, run_id: str) -> Key | None:
        run = RunId.parse(run_id)
        return (run.namespace, run.name) if run is not None and run.prefix == self._prefix else None
