"""Looking at Airflow: what is gathered for the decisions, and in which order, so that a look stays cheap.

First the few lists that are short by themselves (queued, failed, waiting, running), then the past of what stands out in them, one
request for each. With 5,500 DAGs and 12,000 tasks a day a look of :func:`watch` is some sixty pages of DAGs and some
twenty of tasks, plus one request for each suspect, each bounded below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from mljob_airflow.monitoring.findings import bottlenecks, failures, outliers
from mljob_airflow.monitoring.findings.fingerprints import ErrorText
from mljob_airflow.monitoring.findings.health import (
    Health,
    Need,
    grouped_by_dag,
    health_findings,
    minutes_since,
    subject_of,
    suspects,
)
from mljob_airflow.monitoring.findings.mutes import Mutes, without_muted
from mljob_airflow.monitoring.findings.stuck import stuck_runs, stuck_tasks
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import BrokenFile, Dag, Listing, Pool, QueuedRun, TaskInstance
from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import MAX_FINDINGS, Finding, FindingKind, MonitoringReport, Series, Table
from mljob_contract.run_id import RunId

MAX_SUSPECTS = 200
"""DAGs that are paused, stale or broken, of which it is asked whether MLJobs use them."""
MAX_UNLISTED = 100
"""DAGs that are asked for one by one."""
MAX_RECURRING = 50
"""Tasks whose failures are compared."""
MAX_OUTLIERS = 300
"""Tasks whose past is read."""
HISTORY = 100
"""Instances of a task's past: one page."""


class Airflow(Protocol):
    """What a look needs of Airflow. Documented with :class:`.rest_reader.AirflowReader`."""

    requests: int

    def dags_in_use(self, since: datetime) -> Listing[Dag]: ...  # noqa: D102
    def dag(self, dag_id: str) -> Dag | None: ...  # noqa: D102
    def import_errors(self) -> Listing[BrokenFile]: ...  # noqa: D102
    def asset_feeds(self) -> Mapping[str, frozenset[str]]: ...  # noqa: D102
    def queued_runs(self, now: datetime) -> Listing[QueuedRun]: ...  # noqa: D102
    def running_runs(self, dag_id: str) -> int: ...  # noqa: D102
    def mljob_runs(self, dag_id: str, prefix: str, since: datetime) -> Sequence[str]: ...  # noqa: D102
    def failed_tasks(self, since: datetime) -> Listing[TaskInstance]: ...  # noqa: D102
    def waiting_tasks(self) -> Listing[TaskInstance]: ...  # noqa: D102
    def recent_tasks(self, since: datetime) -> Listing[TaskInstance]: ...  # noqa: D102
    def task_history(self, dag_id: str, task_id: str, limit: int) -> Sequence[TaskInstance]: ...  # noqa: D102
    def tasks_of_window(self, since: datetime) -> Listing[TaskInstance]: ...  # noqa: D102
    def pools(self) -> Listing[Pool]: ...  # noqa: D102
    def last_error(self, instance: TaskInstance) -> ErrorText | None: ...  # noqa: D102


@dataclass(frozen=True)
class Point:
    """From where a look is taken.

    Attributes:
        monitor: The DAG that looks.
        source: Which Airflow this is.
        run_id_prefix: The first part of MLJobs' run ids.
        links: Addresses.
        now: The clock.
        mutes: Findings that are not told.
    """

    monitor: str
    source: str
    run_id_prefix: str
    links: Links
    now: datetime
    mutes: Mutes = field(default_factory=Mutes)

    def before(self, **span: float) -> datetime:
        """A moment ago."""
        return self.now - timedelta(**span)


Look = Callable[[Airflow, Thresholds, Point], MonitoringReport]


@dataclass
class _Gathered:
    """What a look has found so far."""

    airflow: Airflow
    thresholds: Thresholds
    point: Point
    dags: dict[str, Dag] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    incomplete: dict[FindingKind, str] = field(default_factory=dict)
    asked: int = 0

    @contextmanager
    def part(self, *kinds: FindingKind) -> Iterator[None]:
        """What may not be read (403) leaves a gap, and the rest of the look as it is. Any other error ends it."""
        try:
            yield
        except AirflowApiError as error:
            if error.status != 403:
                raise
            self.gap(str(error), *kinds)

    def gap(self, why: str, *kinds: FindingKind) -> None:
        """Some findings of these kinds may be missing."""
        for kind in kinds:
            self.incomplete.setdefault(kind, why)

    def cut(self, listing: Listing[Any], what: str, *kinds: FindingKind) -> None:
        """A gap, if the listing is not all that there is."""
        if not listing.complete:
            self.gap(f"only the first {len(listing.rows)} {what} were read", *kinds)

    def dag(self, dag_id: str) -> Dag:
        """The DAG, asked for if it is not known yet, within bounds."""
        if dag_id not in self.dags:
            known = None
            if self.asked < MAX_UNLISTED:
                self.asked += 1
                known = self.airflow.dag(dag_id)
            self.dags[dag_id] = known or Dag(dag_id)
        return self.dags[dag_id]

    def _dags_of(self, finding: Finding) -> list[Dag]:
        """The DAGs that a finding is about: of a file that can't be imported, all those that are in use."""
        if finding.kind is FindingKind.IMPORT_ERROR:
            return [
                dag for dag in self.dags.values() if dag.file and subject_of(dag.bundle, dag.file) == finding.subject
            ]
        return [self.dags.get(finding.dag_id, Dag(finding.dag_id))] if finding.dag_id else []

    def report(self, tables: tuple[Table, ...] = (), series: tuple[Series, ...] = ()) -> MonitoringReport:
        """The report: without what is muted, the most severe first, and no more than it may hold."""
        told = without_muted(self.findings, self.point.mutes, self._dags_of, self.point.links, self.point.now)
        self.gap(f"of the muted findings, the report names the first {MAX_FINDINGS}", *told.cut)
        ordered = sorted(told.findings, key=lambda finding: (-finding.severity.rank, finding.kind, finding.subject))
        if len(ordered) > MAX_FINDINGS:
            kinds = {finding.kind for finding in ordered[MAX_FINDINGS:]}
            self.gap(f"{len(ordered)} findings, of which a report holds {MAX_FINDINGS}", *kinds)
        return MonitoringReport(
            monitor=self.point.monitor,
            source=self.point.source,
            at=self.point.now,
            findings=tuple(ordered[:MAX_FINDINGS]),
            tables=tables,
            series=series,
            muted=sum(mute.findings for mute in told.mutes),
            mutes=told.mutes,
            incomplete=self.incomplete,
            requests=self.airflow.requests,
        )


def watch(airflow: Airflow, thresholds: Thresholds, point: Point) -> MonitoringReport:
    """What needs somebody's hands now: DAGs, failures, what is stuck, what is slow."""
    gathered = _Gathered(airflow, thresholds, point)
    listing = airflow.dags_in_use(point.before(days=thresholds.in_use_days))
    gathered.cut(listing, "DAGs", FindingKind.DAG_PAUSED, FindingKind.DAG_STALE)
    gathered.dags = {dag.dag_id: dag for dag in listing.rows}
    queued = airflow.queued_runs(point.now)
    gathered.cut(queued, "queued runs", FindingKind.STUCK_QUEUED)

    _watch_health(gathered, queued.rows)
    _watch_stuck(gathered, queued.rows)
    with gathered.part(FindingKind.RECURRING_FAILURE):
        _watch_failures(gathered)
    with gathered.part(FindingKind.SLOW_TASK, FindingKind.LONG_WAIT):
        _watch_outliers(gathered)
    return gathered.report()


def survey(airflow: Airflow, thresholds: Thresholds, point: Point) -> MonitoringReport:
    """Where time was lost on the platform in the last hours."""
    gathered = _Gathered(airflow, thresholds, point)
    window = bottlenecks.window_of(point.now, thresholds.bottleneck_hours)
    tasks = airflow.tasks_of_window(window.start)
    kinds = (FindingKind.POOL_SATURATED, FindingKind.WORKERS_SATURATED, FindingKind.MANY_RETRIES)
    gathered.cut(tasks, "tasks", *kinds)
    pools: Sequence[Pool] = ()
    with gathered.part(FindingKind.POOL_SATURATED):
        pools = airflow.pools().rows
    retried = {dag_id: gathered.dag(dag_id) for dag_id, _ in bottlenecks.often_retried(tasks.rows, thresholds)}
    gathered.findings += bottlenecks.bottleneck_findings(tasks.rows, pools, retried, window, thresholds, point.links)
    return gathered.report(
        bottlenecks.bottleneck_tables(tasks.rows, pools, window, point.links),
        bottlenecks.pool_series(tasks.rows, pools, window),
    )


def _watch_health(gathered: _Gathered, queued: Sequence[QueuedRun]) -> None:
    airflow, point = gathered.airflow, gathered.point
    waiting = grouped_by_dag(queued)
    for dag_id in waiting:
        gathered.dag(dag_id)
    broken: Sequence[BrokenFile] = ()
    with gathered.part(FindingKind.IMPORT_ERROR):
        listing = airflow.import_errors()
        gathered.cut(listing, "import errors", FindingKind.IMPORT_ERROR)
        broken = listing.rows
    suspected = suspects(gathered.dags.values(), broken)
    if len(suspected) > MAX_SUSPECTS:
        why = f"of {len(suspected)} DAGs that are paused, stale or broken, only {MAX_SUSPECTS} were looked into"
        gathered.gap(why, FindingKind.DAG_PAUSED, FindingKind.DAG_STALE)
    feeds: Mapping[str, frozenset[str]] = {}
    if suspected:
        # An Airflow user who may not see assets knows less of why a DAG is needed, and no less of what is wrong.
        with gathered.part():
            feeds = airflow.asset_feeds()
    since = point.before(days=gathered.thresholds.in_use_days)
    # Those for which something waits are looked into first.
    suspected.sort(key=lambda dag: (dag.dag_id not in waiting, dag.dag_id))
    needs = {}
    for dag in suspected[:MAX_SUSPECTS]:
        runs = waiting.get(dag.dag_id, [])
        ours = [run.run_id for run in runs if _is_ours(run.run_id, point)] or airflow.mljob_runs(
            dag.dag_id, point.run_id_prefix, since
        )
        needs[dag.dag_id] = Need(runs, ours, feeds.get(dag.dag_id, frozenset()))
    looked_into = {dag.dag_id for dag in suspected[:MAX_SUSPECTS]}
    dags = {dag_id: dag for dag_id, dag in gathered.dags.items() if dag_id in looked_into}
    gathered.findings += health_findings(Health(dags, broken, needs), point.links)


def _watch_stuck(gathered: _Gathered, queued: Sequence[QueuedRun]) -> None:
    airflow, point, minutes = gathered.airflow, gathered.point, gathered.thresholds.stuck_minutes
    late = [
        dag_id for dag_id, runs in grouped_by_dag(queued).items() if minutes_since(runs[0].since, point.now) >= minutes
    ]
    running = {dag_id: airflow.running_runs(dag_id) for dag_id in late[:MAX_UNLISTED]}
    gathered.findings += stuck_runs(queued, gathered.dags, running, point.links, minutes=minutes, now=point.now)
    with gathered.part(FindingKind.STUCK_QUEUED):
        waiting = airflow.waiting_tasks()
        gathered.cut(waiting, "waiting tasks", FindingKind.STUCK_QUEUED)
        dags = {task.dag_id: gathered.dag(task.dag_id) for task in waiting.rows}
        gathered.findings += stuck_tasks(waiting.rows, dags, point.links, minutes=minutes, now=point.now)


def _watch_failures(gathered: _Gathered) -> None:
    airflow, thresholds = gathered.airflow, gathered.thresholds
    listing = airflow.failed_tasks(gathered.point.before(hours=thresholds.failure_hours))
    gathered.cut(listing, "failed tasks", FindingKind.RECURRING_FAILURE)
    often = failures.candidates(listing.rows, times=thresholds.failure_times)
    if len(often) > MAX_RECURRING:
        gathered.gap(f"only {MAX_RECURRING} of {len(often)} tasks were compared", FindingKind.RECURRING_FAILURE)
    compared = []
    for dag_id, task_id in often[:MAX_RECURRING]:
        history = airflow.task_history(dag_id, task_id, thresholds.failure_runs)
        failed = [row for row in listing.rows if (row.dag_id, row.task_id) == (dag_id, task_id)]
        last = failures.last_runs(gathered.dag(dag_id), task_id, history, failed, runs=thresholds.failure_runs)
        if len(last.failed) >= thresholds.failure_times:
            compared.append(last)
    reads = thresholds.log_reads
    # First of each task as many as make an error recur, then the rest: those that fail most must not leave nothing to read of the others.
    for most in (thresholds.failure_times, thresholds.failure_runs):
        for last in compared:
            unread = [instance for instance in last.failed[:most] if instance.run_id not in last.errors][:reads]
            reads -= len(unread)
            last.errors.update(_errors(airflow, unread))
    if any(len(last.errors) < len(last.failed) for last in compared):
        gathered.gap(f"only {thresholds.log_reads} logs were read (log_reads)", FindingKind.RECURRING_FAILURE)
    for last in compared:
        gathered.findings += failures.recurring(last, gathered.point.links, times=thresholds.failure_times)


def _errors(airflow: Airflow, instances: Iterable[TaskInstance]) -> dict[str, ErrorText | None]:
    return {instance.run_id: airflow.last_error(instance) for instance in instances}


def _watch_outliers(gathered: _Gathered) -> None:
    airflow, thresholds, point = gathered.airflow, gathered.thresholds, gathered.point
    kinds = (FindingKind.SLOW_TASK, FindingKind.LONG_WAIT)
    since = point.before(hours=thresholds.outlier_hours)
    recent = airflow.recent_tasks(since)
    gathered.cut(recent, "tasks", *kinds)
    long = outliers.candidates(
        recent.rows, slow_seconds=thresholds.slow_seconds, wait_seconds=thresholds.wait_seconds, now=point.now
    )
    if len(long) > MAX_OUTLIERS:
        gathered.gap(f"only the longest {MAX_OUTLIERS} of {len(long)} tasks were judged", *kinds)
    for dag_id, task_id in long[:MAX_OUTLIERS]:
        gathered.findings += outliers.outlier_findings(
            gathered.dag(dag_id),
            task_id,
            airflow.task_history(dag_id, task_id, HISTORY),
            point.links,
            slow_seconds=thresholds.slow_seconds,
            wait_seconds=thresholds.wait_seconds,
            min_history=thresholds.outlier_history,
            since=since,
            now=point.now,
        )


def _is_ours(run_id: str, point: Point) -> bool:
    parsed = RunId.parse(run_id)
    return parsed is not None and parsed.prefix == point.run_id_prefix
