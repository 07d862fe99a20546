"""REST is the level: what changed in Airflow since a watermark, in pages, for all runs at once.

Events may be lost, late, or never sent (airflow.listeners has no hook for queued, retry, deferred, upstream_failed or removed). Every
``interval`` seconds two requests ask Airflow's change feed for runs and task instances with our prefix; pages follow what changed,
not what waits. While something is expected that may come without an event (a run whose tasks have all ended, a cancellation, a run
whose tasks are not known yet) the feed is read every ``hot_interval``.

The watermark is Airflow's clock, less an overlap: rows are stamped when a transaction begins and seen when it ends.
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
"""How far a pass looks back behind the last one: longer than GRACE and the longest transaction."""
SKEW = timedelta(seconds=5)
"""How far the clocks of Airflow's hosts may differ: who queues a run and who changes its tasks are not the same."""
CENSUS_INTERVAL = timedelta(seconds=60)
"""How often runs in progress are listed: a deleted run is in no change feed, and one that was cleared while no operator ran is in an old part of it."""

HALTS_EVERY = timedelta(seconds=4)
"""How often DAGs with runs in progress are asked for."""
HALTS_A_LOOK = 20
"""How many of them are asked for one by one at a time; of the others, a list says which are paused."""

assert OVERLAP > 2 * GRACE


class ChangeFeedReader:
    """Reads the change feed of one Airflow; each has a reader of its own, so that none waits for another.

    Args:
        airflow: Its name.
        airflows: Where it is.
        queue: Who wants to know.
        orphans: Looks at each census.
        prefix: Of our dag run ids.
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
        """Pass after pass, until cancelled."""
        while True:
            wanted = self._queue.wanted(self._airflow)
            wanted.clear()
            delay, hot = await self._guarded_pass()
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

    async def _guarded_pass(self) -> tuple[float, bool]:
        """One pass; seconds until the next, and whether something is expected before."""
        try:
            await self.pass_once()
            hot = any(is_hot(live, self._clock()) for live in self._queue.live(self._airflow))
        except AirflowError as error:
            return self._failed(error), False
        except Exception:
            # The next pass may meet it again; it must end the following of no Airflow.
            if not self._failures:
                log.exception("%s: unexpected error", self._name)
            return self._failed(AirflowError("unexpected error")), False
        if self._failures:
            log.info("%s: the change feed can be read again", self._name)
        self._failures = 0
        self._meter.resync(self._airflow, "ok")
        return self._interval, hot

    def _failed(self, error: AirflowError) -> float:
        """A pass has failed; seconds until the next."""
        self._failures += 1
        if self._failures == 1:
            log.warning("%s: the change feed can't be read; statuses come from Kafka alone: %s", self._name, error)
        self._meter.resync(self._airflow, "failed")
        self._airflows.doubt(self._airflow)
        return max(self._interval, backoff(error, self._failures))

    async def pass_once(self) -> None:
        """Ask what changed since the last pass that succeeded, and tell the queues.

        Raises:
            AirflowError: Airflow could not be asked; the watermark stays.
        """
        lives = self._queue.live(self._airflow)
        submitted = {live.job.key: live for live in lives if live.current.active and not live.job.is_backfill}
        backfills = {live.run: live for live in lives if live.current.active and live.job.is_backfill}
        started = self._clock()
        since = (self._watermark or self._first(lives)) - OVERLAP
        runs = await self._dag_runs.changed_runs(since)
        # Without a run in progress there is only one thing to learn: that somebody cleared the run of a finished MLJob.
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
            created = run_fact.created if run_fact else None
            # One that was cleared looks young, but what had succeeded before has not changed since.
            cleared = attempts.goes_on(live.job.status)
            self._queue.show(
                live.job.key,
                run,
                Snapshot(
                    started,
                    run=run_facts[-1] if run_facts else None,
                    tasks=tuple(task_facts),
                    # A run that is younger than the watermark has all its tasks in the feed.
                    complete=created is not None and created > since + SKEW and bool(task_facts) and not cleared,
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
        """Runs of backfills, by one request for all of them. What is no run's (that one is paused, closed, gone) is asked for by itself, seldom."""
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
        """Where to begin after a start: with the oldest run in progress."""
        submitted = [live.job.status.submit_time for live in lives if live.job.status.submit_time]
        return min(submitted, default=self._clock()) + self._dag_runs.clock_offset

    async def _look_for_halts(self, lives: list[State], now: datetime) -> None:
        """A run whose DAG is paused, or is in no file any more, stays as it is and gives no sign. DAGs are asked for, however many runs they have: first those
        whose runs stand still, then whichever was not asked for longest.
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
        """Ask for runs one by one only where something doesn't add up; and follow those that were cleared while nobody read the feed."""
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
