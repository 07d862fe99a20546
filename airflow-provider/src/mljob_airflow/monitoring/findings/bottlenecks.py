"""Finds where the platform loses time: slow tasks, full pools, too few workers, and retries.

Airflow does not store how full a pool was. So this module estimates the occupied slots from the
start and the end of task instances. The estimate has two errors:

- The estimate is too low if a task had several tries. Airflow's list of task instances has only the
  start and the end of the last try, so the slots of earlier tries are not counted.
- The estimate is too high if a task was deferred. A deferred task counts as if it occupied a slot,
  but occupies none unless the pool has ``include_deferred``.

Therefore a full pool is a finding only if tasks have also waited for a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mljob_airflow.monitoring.findings.mljobs import finding_fields
from mljob_airflow.monitoring.findings.statistics import quantile
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag, Pool, TaskInstance
from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_airflow.monitoring.wording import count, duration
from mljob_contract.reports import Finding, FindingKind, Series, Table

STEPS = 96
"""The number of values of a chart over time. In a chart of one day, each value covers a quarter of
an hour.
"""
ROWS = 15
"""The maximum number of rows of a table."""
FULL = 0.95
"""A pool is full if at least this share of its slots is occupied."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a report covers."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """The length of the window in seconds."""
        return (self.end - self.start).total_seconds()


def bottleneck_findings(
    instances: Sequence[TaskInstance],
    pools: Iterable[Pool],
    owners: Mapping[str, Dag],
    window: Window,
    thresholds: Thresholds,
    links: Links,
) -> list[Finding]:
    """Return findings about full pools that tasks wait for, about too few workers, and about tasks
    with many retries.

    Args:
        instances: The task instances of the window.
        pools: Airflow's pools.
        owners: The DAGs by DAG id, for the owners in the findings.
        window: The time that the report covers.
        thresholds: The thresholds of findings.
        links: Makes URLs of Airflow's UI.
    """
    return [
        *_saturated_pools(instances, pools, window, thresholds, links),
        *_missing_workers(instances, thresholds, links),
        *_many_retries(instances, owners, thresholds, links),
    ]


def often_retried(instances: Iterable[TaskInstance], thresholds: Thresholds) -> list[tuple[str, str]]:
    """Return the tasks that were often retried, as pairs of DAG id and task id.

    At least ``thresholds.retry_times`` instances of such a task had more than one try. The share of
    these instances among all instances of the task is at least ``thresholds.retry_share``.
    """
    return [
        task
        for task, group in _by_task(instances).items()
        if (retried := sum(ti.try_number > 1 for ti in group)) >= thresholds.retry_times
        and retried >= thresholds.retry_share * len(group)
    ]


def bottleneck_tables(
    instances: Sequence[TaskInstance], pools: Iterable[Pool], window: Window, links: Links
) -> tuple[Table, ...]:
    """Return three tables: the tasks that took the most time in total, the pools that were used,
    and the tasks with the most retries. Each table has at most :data:`ROWS` rows.
    """
    return (
        _slowest(instances, links),
        _pool_table(instances, pools, window),
        _retry_table(instances, links),
    )


def pool_series(instances: Sequence[TaskInstance], pools: Iterable[Pool], window: Window) -> tuple[Series, ...]:
    """Return charts of the occupied slots over time.

    Each pool that was used has a chart. If more than six pools were used, only the six fullest
    pools have charts. One more chart shows the sum of all pools, unless exactly one pool was used.
    """
    step = window.seconds / STEPS
    charts = []
    for pool in pools:
        members = [ti for ti in instances if ti.pool == pool.name]
        values = occupancy(members, window)
        if any(values):
            limit = float(pool.slots) if pool.slots > 0 else None
            charts.append(
                Series(
                    title=f"Pool {pool.name}",
                    start=window.start,
                    step_seconds=step,
                    values=values,
                    limit=limit,
                    unit="slots",
                )
            )
    charts.sort(key=lambda chart: -max(chart.values) / (chart.limit or float("inf")))
    everything = Series(
        title="All pools", start=window.start, step_seconds=step, values=occupancy(instances, window), unit="slots"
    )
    return (*charts[:6], everything) if len(charts) != 1 else tuple(charts)


def occupancy(instances: Iterable[TaskInstance], window: Window, steps: int = STEPS) -> tuple[float, ...]:
    """Return the average number of occupied slots in each of ``steps`` equal parts of the window."""
    length = window.seconds / steps
    taken = [0.0] * steps
    for begin, end, slots in _intervals(instances, window):
        first, last = int(begin // length), min(int(end // length), steps - 1)
        for step in range(first, last + 1):
            overlap = min(end, (step + 1) * length) - max(begin, step * length)
            taken[step] += slots * max(overlap, 0.0) / length
    return tuple(round(value, 2) for value in taken)


def full_share(instances: Iterable[TaskInstance], slots: int, window: Window) -> float:
    """Return the share of the window, from 0 to 1, in which a pool was full.

    Args:
        instances: The task instances that occupied slots of the pool.
        slots: The number of the pool's slots. A pool is full if at least the share :data:`FULL` of
            the slots is occupied.
        window: The time that the report covers.
    """
    changes: list[tuple[float, int]] = []
    for begin, end, taken in _intervals(instances, window):
        changes += [(begin, taken), (end, -taken)]
    busy, now, before = 0.0, 0, 0.0
    for moment, change in sorted(changes):
        if now >= FULL * slots:
            busy += moment - before
        now, before = now + change, moment
    return busy / window.seconds


def _intervals(instances: Iterable[TaskInstance], window: Window) -> list[tuple[float, float, int]]:
    """Return the start, the end and the pool slots of each task instance that ran in the window.
    Start and end are in seconds after the window's start, and limited to the window.
    """
    found = []
    for instance in instances:
        if instance.start is None:
            continue
        begin = max((instance.start - window.start).total_seconds(), 0.0)
        end = min(((instance.end or window.end) - window.start).total_seconds(), window.seconds)
        if end > begin:
            found.append((begin, end, instance.pool_slots))
    return found


def _saturated_pools(
    instances: Sequence[TaskInstance], pools: Iterable[Pool], window: Window, thresholds: Thresholds, links: Links
) -> list[Finding]:
    found = []
    for pool in pools:
        if pool.slots <= 0:
            continue
        members = [ti for ti in instances if ti.pool == pool.name]
        share = full_share(members, pool.slots, window)
        wait = _p95([ti.slot_wait for ti in members])
        if share >= thresholds.saturated_share and wait >= thresholds.saturated_wait_seconds:
            found.append(
                Finding(
                    kind=FindingKind.POOL_SATURATED,
                    subject=pool.name,
                    title=f"Pool {pool.name} was full {share:.0%} of the time",
                    detail=f"One task in twenty waited {duration(wait)} or longer for one of the {pool.slots} slots. "
                    "Add slots, or run fewer tasks at the same time.",
                    url=links.pools(),
                    numbers={"full_share": round(share, 4), "slots": pool.slots, "slot_wait_p95_seconds": wait},
                )
            )
    return found


def _missing_workers(instances: Sequence[TaskInstance], thresholds: Thresholds, links: Links) -> list[Finding]:
    wait = _p95([ti.worker_wait for ti in instances])
    if wait < thresholds.saturated_wait_seconds:
        return []
    return [
        Finding(
            kind=FindingKind.WORKERS_SATURATED,
            subject="executor",
            title=f"Tasks with a slot wait {duration(wait)} for a worker",
            detail=f"One task in twenty waits {duration(wait)} or longer. Add workers, or lower [core] parallelism.",
            url=links.dag("").rstrip("/"),
            numbers={"worker_wait_p95_seconds": wait},
        )
    ]


def _many_retries(
    instances: Sequence[TaskInstance], owners: Mapping[str, Dag], thresholds: Thresholds, links: Links
) -> list[Finding]:
    groups = _by_task(instances)
    found = []
    for dag_id, task_id in often_retried(instances, thresholds):
        group = groups[dag_id, task_id]
        retried = [ti for ti in group if ti.try_number > 1]
        found.append(
            Finding(
                kind=FindingKind.MANY_RETRIES,
                subject=f"{dag_id}.{task_id}",
                owners=owners.get(dag_id, Dag(dag_id)).owners,
                title=f"{dag_id}.{task_id} needed retries in {len(retried)} of {count(len(group), 'run')}",
                dag_id=dag_id,
                task_id=task_id,
                url=links.task(dag_id, task_id),
                **finding_fields(
                    (ti.run_id for ti in retried),
                    f"{count(sum(ti.try_number - 1 for ti in retried), 'retry', 'retries')} in total.",
                    {"retried": len(retried), "runs": len(group)},
                ),
            )
        )
    return found


def _slowest(instances: Iterable[TaskInstance], links: Links) -> Table:
    rows = []
    for (dag_id, task_id), group in _by_task(instances).items():
        durations = sorted(ti.duration for ti in group if ti.duration is not None and ti.state in ("success", "failed"))
        if durations:
            rows.append((sum(durations), dag_id, task_id, durations))
    rows.sort(key=lambda row: -row[0])
    return Table(
        title="Tasks that took most time",
        columns=("Task", "Runs", "Total", "Median", "95%", "Longest"),
        rows=tuple(
            (
                f"{dag_id}.{task_id}",
                float(len(durations)),
                duration(total),
                duration(quantile(durations, 0.5)),
                duration(quantile(durations, 0.95)),
                duration(durations[-1]),
            )
            for total, dag_id, task_id, durations in rows[:ROWS]
        ),
        links=tuple(links.task(dag_id, task_id) for _, dag_id, task_id, _ in rows[:ROWS]),
        note="Sorted by the total time of all instances. Speed up the first ones first.",
    )


def _pool_table(instances: Sequence[TaskInstance], pools: Iterable[Pool], window: Window) -> Table:
    rows = []
    for pool in pools:
        members = [ti for ti in instances if ti.pool == pool.name]
        if not members:
            continue
        used = sum((end - begin) * slots for begin, end, slots in _intervals(members, window))
        share = f"{used / (pool.slots * window.seconds):.0%}" if pool.slots > 0 else "no limit"
        full = f"{full_share(members, pool.slots, window):.0%}" if pool.slots > 0 else ""
        rows.append(
            (
                used,
                (
                    pool.name,
                    float(pool.slots) if pool.slots > 0 else "unlimited",
                    float(len(members)),
                    share,
                    full,
                    duration(_p95([ti.slot_wait for ti in members])),
                    duration(_p95([ti.worker_wait for ti in members])),
                ),
            )
        )
    rows.sort(key=lambda row: -row[0])
    return Table(
        title="Pools",
        columns=("Pool", "Slots", "Tasks", "Used", "Full", "Wait for a slot, 95%", "Wait for a worker, 95%"),
        rows=tuple(cells for _, cells in rows[:ROWS]),
        note="Used: share of all slot hours that were occupied. Full: share of the time with at least 95% of the slots occupied.",
    )


def _retry_table(instances: Iterable[TaskInstance], links: Links) -> Table:
    rows = []
    for (dag_id, task_id), group in _by_task(instances).items():
        more = sum(ti.try_number - 1 for ti in group if ti.try_number > 1)
        if more:
            failed = sum(ti.state == "failed" for ti in group)
            rows.append((more, dag_id, task_id, len(group), sum(ti.try_number > 1 for ti in group), failed))
    rows.sort(key=lambda row: (-row[0], row[1:3]))
    return Table(
        title="Most retries",
        columns=("Task", "Retries", "Runs", "Retried runs", "Failed runs"),
        rows=tuple(
            (f"{dag_id}.{task_id}", float(more), float(runs), float(retried), float(failed))
            for more, dag_id, task_id, runs, retried, failed in rows[:ROWS]
        ),
        links=tuple(links.task(row[1], row[2]) for row in rows[:ROWS]),
        note="Retries include tries after a task was cleared.",
    )


def _by_task(instances: Iterable[TaskInstance]) -> dict[tuple[str, str], list[TaskInstance]]:
    groups: dict[tuple[str, str], list[TaskInstance]] = {}
    for instance in instances:
        groups.setdefault((instance.dag_id, instance.task_id), []).append(instance)
    return groups


def _p95(values: Iterable[float | None]) -> float:
    known = sorted(value for value in values if value is not None)
    return quantile(known, 0.95) if known else 0.0


def window_of(now: datetime, hours: float) -> Window:
    """Return the window that ends at ``now`` and is ``hours`` long."""
    return Window(now - timedelta(hours=hours), now)
