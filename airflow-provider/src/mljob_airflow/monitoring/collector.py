"""Makes a report: reads data from Airflow, and makes a finding for each problem
(:mod:`mljob_airflow.monitoring.findings`).

First, lists of DAGs, runs and tasks are read. Then details, such as a task's history and logs, are
read only for DAGs and tasks that may have a problem. ``MAX_SUSPECTS`` and other constants limit the
number of these DAGs and tasks. The owners of the DAGs take turns (:mod:`.fairness`), so that the
problems of one owner do not use up a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from mljob_airflow.monitoring.fairness import in_turn
from mljob_airflow.monitoring.findings import bottlenecks, failures, outliers
from mljob_airflow.monitoring.findings.fingerprints import ErrorText
from mljob_airflow.monitoring.findings.health import (
    Health,
    Need,
    broken_dags,
    feeds_of,
    grouped_by_dag,
    health_findings,
    minutes_since,
    subject_of,
    suspects,
)
from mljob_airflow.monitoring.findings.mutes import Mutes, apply_mutes
from mljob_airflow.monitoring.findings.stuck import stuck_runs, stuck_tasks
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import (
    Asset,
    BrokenFile,
    Dag,
    Listing,
    Pool,
    QueuedRun,
    RunningRuns,
    TaskInstance,
)
from mljob_airflow.monitoring.report_limits import within_limits
from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import MAX_FINDINGS, Finding, FindingKind, MonitoringReport, Series, Table
from mljob_contract.run_id import RunId

Item = TypeVar("Item")

MAX_SUSPECTS = 200
"""The maximum number of DAGs whose recent runs are read because the DAGs are paused, stale or
broken."""
MAX_UNLISTED = 100
"""The maximum number of DAGs that are read one by one because the list of DAGs in use lacks them. A
finding about another such DAG lacks the DAG's owners and ignores its tags, and the report is
incomplete for the finding's kind.

The running runs of at most this many DAGs are counted. A finding about stuck runs of another DAG
says that their cause is unknown.
"""
MAX_RECURRING = 50
"""The maximum number of tasks whose failures are compared with each other."""
MAX_OUTLIERS = 300
"""The maximum number of tasks whose history is read to find outliers."""
HISTORY = 100
"""The maximum number of task instances in the history of a task: one page."""
ABOUT_DAGS = (FindingKind.DAG_PAUSED, FindingKind.DAG_STALE, FindingKind.IMPORT_ERROR)
"""The kinds of findings that need all DAGs in use."""


class Airflow(Protocol):
    """The requests to Airflow's REST API that a report needs. See
    :class:`.rest_reader.AirflowReader` for the documentation of each request.
    """

    @property
    def requests(self) -> int: ...  # noqa: D102
    def dags_in_use(self, since: datetime) -> Listing[Dag]: ...  # noqa: D102
    def dag(self, dag_id: str) -> Dag | None: ...  # noqa: D102
    def import_errors(self) -> Listing[BrokenFile]: ...  # noqa: D102
    def assets(self) -> Listing[Asset]: ...  # noqa: D102
    def queued_runs(self, now: datetime) -> Listing[QueuedRun]: ...  # noqa: D102
    def running_runs(self, dag_id: str) -> RunningRuns: ...  # noqa: D102
    def mljob_runs(self, dag_id: str, prefix: str, since: datetime) -> Sequence[str]: ...  # noqa: D102
    def failed_tasks(self, since: datetime) -> Listing[TaskInstance]: ...  # noqa: D102
    def waiting_tasks(self) -> Listing[TaskInstance]: ...  # noqa: D102
    def recent_tasks(self, since: datetime) -> Listing[TaskInstance]: ...  # noqa: D102
    def task_history(  # noqa: D102
        self, dag_id: str, task_id: str, states: Sequence[str], limit: int
    ) -> Sequence[TaskInstance]: ...
    def tasks_of_window(self, since: datetime) -> Listing[TaskInstance]: ...  # noqa: D102
    def pools(self) -> Listing[Pool]: ...  # noqa: D102
    def last_error(self, instance: TaskInstance) -> ErrorText | None: ...  # noqa: D102


@dataclass(frozen=True)
class ReportContext:
    """The inputs of a report that don't come from Airflow's REST API.

    Attributes:
        monitor: The id of the monitoring DAG that makes the report.
        source: The name of this Airflow, from the option ``[mljob] source``.
        run_id_prefix: The first part of the run ids of MLJobs.
        links: Makes URLs of Airflow's UI.
        now: The time of the report.
        mutes: The parsed Variable ``mljob_mutes``.
    """

    monitor: str
    source: str
    run_id_prefix: str
    links: Links
    now: datetime
    mutes: Mutes = field(default_factory=Mutes)

    def ago(self, **span: float) -> datetime:
        """Return :attr:`now` minus a time span. The arguments are those of ``timedelta``, for
        example ``hours=2``.
        """
        return self.now - timedelta(**span)


Collector = Callable[[Airflow, Thresholds, ReportContext], MonitoringReport]
"""A function that reads from an Airflow and makes a report: :func:`collect_problems` or
:func:`collect_bottlenecks`.
"""


@dataclass
class _Collection:
    airflow: Airflow
    thresholds: Thresholds
    context: ReportContext
    dags: dict[str, Dag] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    incomplete: dict[FindingKind, str] = field(default_factory=dict)
    dag_requests: int = 0
    unread: set[str] = field(default_factory=set)

    @contextmanager
    def readable(self, *kinds: FindingKind) -> Iterator[None]:
        try:
            yield
        except AirflowApiError as error:
            if error.status != 403:
                raise
            self.mark_incomplete(str(error), *kinds)

    def mark_incomplete(self, why: str, *kinds: FindingKind) -> None:
        for kind in kinds:
            self.incomplete.setdefault(kind, why)

    def mark_if_cut(self, listing: Listing[Any], what: str, *kinds: FindingKind) -> None:
        if not listing.complete:
            self.mark_incomplete(f"only the first {len(listing.rows)} {what} were read", *kinds)

    def limited(
        self, items: Sequence[Item], most: int, dag_of: Callable[[Item], Dag], what: str, *kinds: FindingKind
    ) -> Sequence[Item]:
        """Return at most ``most`` of the items, whose owners take turns. If items are left out, mark
        ``kinds`` as incomplete. ``what`` says what happens to the returned items.
        """
        if len(items) > most:
            self.mark_incomplete(f"only {most} of {len(items)} {what}", *kinds)
        return in_turn(items, dag_of)[:most]

    def list_dags(self, *kinds: FindingKind) -> None:
        listing = self.airflow.dags_in_use(self.context.ago(days=self.thresholds.in_use_days))
        self.mark_if_cut(listing, "DAGs", *kinds)
        self.dags = {dag.dag_id: dag for dag in listing.rows}

    def dag(self, dag_id: str, *kinds: FindingKind) -> Dag:
        """Return a DAG. If the DAG is not read because of :data:`MAX_UNLISTED`, return a DAG that
        has only its id, and mark ``kinds`` as incomplete: findings of these kinds may lack the
        DAG's owners, or may be about a DAG whose tags mute them.
        """
        if dag_id not in self.dags:
            known = None
            if self.dag_requests < MAX_UNLISTED:
                self.dag_requests += 1
                known = self.airflow.dag(dag_id)
            else:
                self.unread.add(dag_id)
            self.dags[dag_id] = known or Dag(dag_id)
        if dag_id in self.unread:
            why = f"only {MAX_UNLISTED} of the DAGs that the list of DAGs in use lacks were read"
            self.mark_incomplete(why, *kinds)
        return self.dags[dag_id]

    def _dags_of(self, finding: Finding) -> list[Dag]:
        if finding.kind is FindingKind.IMPORT_ERROR:
            return [
                dag for dag in self.dags.values() if dag.file and subject_of(dag.bundle, dag.file) == finding.subject
            ]
        return [self.dags.get(finding.dag_id, Dag(finding.dag_id))] if finding.dag_id else []

    def report(self, tables: tuple[Table, ...] = (), series: tuple[Series, ...] = ()) -> MonitoringReport:
        result = apply_mutes(self.findings, self.context.mutes, self._dags_of, self.context.links, self.context.now)
        self.mark_incomplete(f"the report names only the first {MAX_FINDINGS} muted findings", *result.cut)
        return within_limits(
            MonitoringReport(
                monitor=self.context.monitor,
                source=self.context.source,
                at=self.context.now,
                findings=tuple(result.findings),
                tables=tables,
                series=series,
                muted=sum(mute.findings for mute in result.mutes),
                mutes=result.mutes,
                incomplete=self.incomplete,
                requests=self.airflow.requests,
            )
        )


def collect_problems(airflow: Airflow, thresholds: Thresholds, context: ReportContext) -> MonitoringReport:
    """Make the report of the monitoring DAG ``mljob_monitor``.

    The report has findings about broken, paused and stale DAGs, stuck runs and tasks, recurring
    failures, and tasks that run or wait longer than in earlier runs.
    """
    collected = _Collection(airflow, thresholds, context)
    collected.list_dags(*ABOUT_DAGS)
    queued = airflow.queued_runs(context.now)
    collected.mark_if_cut(queued, "queued runs", FindingKind.STUCK_QUEUED)

    _collect_health(collected, queued.rows)
    _collect_stuck(collected, queued.rows)
    with collected.readable(FindingKind.RECURRING_FAILURE):
        _collect_failures(collected)
    with collected.readable(FindingKind.SLOW_TASK, FindingKind.LONG_WAIT):
        _collect_outliers(collected)
    return collected.report()


def collect_bottlenecks(airflow: Airflow, thresholds: Thresholds, context: ReportContext) -> MonitoringReport:
    """Make the report of the monitoring DAG ``mljob_monitor_bottlenecks``.

    The report has findings about full pools, too few workers, and tasks with many retries. The
    tables show the tasks that took the most time in total, the use of the pools, and the tasks with
    the most retries. The charts show the occupied slots of the pools over time.
    """
    collected = _Collection(airflow, thresholds, context)
    window = bottlenecks.window_of(context.now, thresholds.bottleneck_hours)
    tasks = airflow.tasks_of_window(window.start)
    kinds = (FindingKind.POOL_SATURATED, FindingKind.WORKERS_SATURATED, FindingKind.MANY_RETRIES)
    collected.mark_if_cut(tasks, "tasks", *kinds)
    pools: Sequence[Pool] = ()
    with collected.readable(FindingKind.POOL_SATURATED):
        found = airflow.pools()
        collected.mark_if_cut(found, "pools", FindingKind.POOL_SATURATED)
        pools = found.rows
    retried = dict.fromkeys(dag_id for dag_id, _ in bottlenecks.often_retried(tasks.rows, thresholds))
    if retried:
        collected.list_dags()
    dags = {dag_id: collected.dag(dag_id, FindingKind.MANY_RETRIES) for dag_id in retried}
    collected.findings += bottlenecks.bottleneck_findings(tasks.rows, pools, dags, window, thresholds, context.links)
    return collected.report(
        bottlenecks.bottleneck_tables(tasks.rows, pools, window, context.links),
        bottlenecks.pool_series(tasks.rows, pools, window),
    )


def _collect_health(collected: _Collection, queued: Sequence[QueuedRun]) -> None:
    airflow, context = collected.airflow, collected.context
    waiting = grouped_by_dag(queued)
    # The list of DAGs in use lacks a DAG whose newest run is queued, because the run has no start.
    for dag_id in waiting:
        collected.dag(dag_id, *ABOUT_DAGS)
    broken: Sequence[BrokenFile] = ()
    with collected.readable(FindingKind.IMPORT_ERROR):
        listing = airflow.import_errors()
        collected.mark_if_cut(listing, "import errors", FindingKind.IMPORT_ERROR)
        broken = listing.rows
    in_broken_files = broken_dags(collected.dags.values(), broken)
    suspected = suspects(collected.dags.values(), broken)
    feeds: Mapping[str, frozenset[str]] = {}
    if suspected:
        # Without access to assets, the monitor does not know which DAGs are needed because they
        # update the assets of other DAGs. The report does not count as incomplete because of this.
        with collected.readable():
            assets = airflow.assets()
            collected.mark_if_cut(assets, "assets", FindingKind.DAG_PAUSED, FindingKind.DAG_STALE)
            feeds = feeds_of(assets.rows)
    since = context.ago(days=collected.thresholds.in_use_days)
    # DAGs with waiting runs are checked first.
    suspected.sort(key=lambda dag: (dag.dag_id not in waiting, dag.dag_id))
    checked = collected.limited(
        suspected,
        MAX_SUSPECTS,
        lambda dag: dag,
        "DAGs that are paused, stale or broken were checked",
        FindingKind.DAG_PAUSED,
        FindingKind.DAG_STALE,
    )
    needs = {}
    for dag in checked:
        runs = waiting.get(dag.dag_id, [])
        ours = [run.run_id for run in runs if _is_ours(run.run_id, context)] or airflow.mljob_runs(
            dag.dag_id, context.run_id_prefix, since
        )
        needs[dag.dag_id] = Need(runs, ours, feeds.get(dag.dag_id, frozenset()))
    # The finding about a file has the owners of all DAGs of the file, also of DAGs that were not
    # checked. Otherwise the finding would seem to be resolved for some of its owners.
    dags = {dag_id: dag for dag_id, dag in collected.dags.items() if dag_id in needs or dag_id in in_broken_files}
    collected.findings += health_findings(Health(dags, broken, needs), context.links)


def _collect_stuck(collected: _Collection, queued: Sequence[QueuedRun]) -> None:
    airflow, context, minutes = collected.airflow, collected.context, collected.thresholds.stuck_minutes
    late = [
        collected.dag(dag_id, FindingKind.STUCK_QUEUED)
        for dag_id, runs in grouped_by_dag(queued).items()
        if minutes_since(runs[0].since, context.now) >= minutes
    ]
    active = in_turn([dag for dag in late if not (dag.is_paused or dag.is_stale)], lambda dag: dag)
    running = {dag.dag_id: airflow.running_runs(dag.dag_id) for dag in active[:MAX_UNLISTED]}
    collected.findings += stuck_runs(queued, collected.dags, running, context.links, minutes=minutes, now=context.now)
    with collected.readable(FindingKind.STUCK_QUEUED):
        waiting = airflow.waiting_tasks()
        collected.mark_if_cut(waiting, "waiting tasks", FindingKind.STUCK_QUEUED)
        dags = {task.dag_id: collected.dag(task.dag_id, FindingKind.STUCK_QUEUED) for task in waiting.rows}
        collected.findings += stuck_tasks(waiting.rows, dags, context.links, minutes=minutes, now=context.now)


def _collect_failures(collected: _Collection) -> None:
    airflow, thresholds = collected.airflow, collected.thresholds
    listing = airflow.failed_tasks(collected.context.ago(hours=thresholds.failure_hours))
    collected.mark_if_cut(listing, "failed tasks", FindingKind.RECURRING_FAILURE)
    often = failures.candidates(listing.rows, times=thresholds.failure_times)
    compared = []
    for dag_id, task_id in collected.limited(
        often,
        MAX_RECURRING,
        lambda task: collected.dag(task[0], FindingKind.RECURRING_FAILURE),
        "tasks were compared",
        FindingKind.RECURRING_FAILURE,
    ):
        history = airflow.task_history(dag_id, task_id, failures.ENDED, HISTORY)
        failed = [row for row in listing.rows if (row.dag_id, row.task_id) == (dag_id, task_id)]
        dag = collected.dag(dag_id, FindingKind.RECURRING_FAILURE)
        last = failures.last_runs(dag, task_id, history, failed, runs=thresholds.failure_runs)
        if len(last.failed) >= thresholds.failure_times:
            compared.append(last)
    reads = thresholds.log_reads
    # The number of logs to read is limited. The first round reads one log of each task, so that each
    # finding has an error. The second round reads failure_times logs of each task, which suffice to
    # find a recurring error. The third round reads further logs. So a task with many failures does
    # not use up the limit before the logs of other tasks are read. In a round, the owners of the
    # tasks take turns.
    for most in (1, thresholds.failure_times, thresholds.failure_runs):
        for last in compared:
            unread = [instance for instance in last.failed[:most] if instance.run_id not in last.errors][:reads]
            reads -= len(unread)
            last.errors.update(_errors(airflow, unread))
    if any(len(last.errors) < len(last.failed) for last in compared):
        collected.mark_incomplete(
            f"only {thresholds.log_reads} logs were read (threshold log_reads)", FindingKind.RECURRING_FAILURE
        )
    for last in compared:
        collected.findings += failures.recurring(last, collected.context.links, times=thresholds.failure_times)


def _errors(airflow: Airflow, instances: Iterable[TaskInstance]) -> dict[str, ErrorText | None]:
    return {instance.run_id: airflow.last_error(instance) for instance in instances}


def _collect_outliers(collected: _Collection) -> None:
    airflow, thresholds, context = collected.airflow, collected.thresholds, collected.context
    kinds = (FindingKind.SLOW_TASK, FindingKind.LONG_WAIT)
    since = context.ago(hours=thresholds.outlier_hours)
    recent = airflow.recent_tasks(since)
    collected.mark_if_cut(recent, "tasks", *kinds)
    long = outliers.candidates(
        recent.rows, slow_seconds=thresholds.slow_seconds, wait_seconds=thresholds.wait_seconds, now=context.now
    )
    running: dict[tuple[str, str], list[TaskInstance]] = {}
    for instance in recent.rows:
        if instance.state == "running":
            running.setdefault((instance.dag_id, instance.task_id), []).append(instance)
    for dag_id, task_id in collected.limited(
        long, MAX_OUTLIERS, lambda task: collected.dag(task[0], *kinds), "tasks were judged", *kinds
    ):
        history = airflow.task_history(dag_id, task_id, outliers.STARTED, HISTORY)
        # The history may be too short for an instance that hangs while many newer runs end.
        known = {instance.run_id for instance in history}
        older = [instance for instance in running.get((dag_id, task_id), ()) if instance.run_id not in known]
        collected.findings += outliers.outlier_findings(
            collected.dag(dag_id, *kinds),
            task_id,
            [*history, *older],
            context.links,
            slow_seconds=thresholds.slow_seconds,
            wait_seconds=thresholds.wait_seconds,
            min_history=thresholds.outlier_history,
            since=since,
            now=context.now,
        )


def _is_ours(run_id: str, context: ReportContext) -> bool:
    parsed = RunId.parse(run_id)
    return parsed is not None and parsed.prefix == context.run_id_prefix
