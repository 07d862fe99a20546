"""Tasks that take longer, or wait longer, than they used to. The statistic is in :mod:`.statistics`.

Of a mapped task the first instance (index 0) speaks: the others are like it, and one row for each run keeps the past long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mljob_airflow.monitoring.findings.mljobs import about
from mljob_airflow.monitoring.findings.statistics import Past, left_its_past
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag, TaskInstance
from mljob_airflow.monitoring.wording import duration
from mljob_contract.reports import Finding, FindingKind, Severity

SPOKEN_FOR = (-1, 0)
"""Map indexes that are judged: -1 is a task that is not mapped."""
SHOWN = 60
"""Values of the past that go into a finding."""


def elapsed(instance: TaskInstance, now: datetime) -> float | None:
    """Seconds that it took, or has taken so far; ``None`` for one that failed, whose end came early, or never began."""
    if instance.state == "running" and instance.start is not None:
        return (now - instance.start).total_seconds()
    return instance.duration if instance.state == "success" else None


def candidates(
    recent: Iterable[TaskInstance], *, slow_seconds: float, wait_seconds: float, now: datetime
) -> list[tuple[str, str]]:
    """DAG and task of what took or waited long enough to matter, the longest first."""
    size: dict[tuple[str, str], float] = {}
    for instance in recent:
        took, waited = elapsed(instance, now) or 0.0, instance.wait or 0.0
        if took >= slow_seconds or waited >= wait_seconds:
            task = (instance.dag_id, instance.task_id)
            size[task] = max(size.get(task, 0.0), took, waited)
    return sorted(size, key=lambda task: (-size[task], task))


def outlier_findings(
    dag: Dag,
    task_id: str,
    history: Sequence[TaskInstance],
    links: Links,
    *,
    slow_seconds: float,
    wait_seconds: float,
    min_history: int,
    since: datetime,
    now: datetime,
) -> list[Finding]:
    """Whether the task has left its past, by its duration and by its wait.

    Args:
        dag: Its DAG.
        task_id: The task.
        history: Its instances, the newest first, those that run included.
        links: Addresses.
        slow_seconds: Shorter durations do not matter.
        wait_seconds: Shorter waits do not matter.
        min_history: How many earlier runs are a past.
        since: When the newest ended or began before this, it is old news.
        now: The clock.
    """
    found = []
    measures = (
        (FindingKind.SLOW_TASK, slow_seconds, [(ti, elapsed(ti, now)) for ti in history]),
        (FindingKind.LONG_WAIT, wait_seconds, [(ti, ti.wait) for ti in history]),
    )
    for kind, least, measured in measures:
        known = [(ti, seconds) for ti, seconds in measured if seconds is not None]
        if not known or known[0][1] < least or not _is_recent(known[0][0], since):
            continue
        values = [seconds for _, seconds in known]
        past = left_its_past(values, min_history=min_history)
        if past is not None:
            found.append(_finding(kind, dag, task_id, known[0][0], values, past, links))
    return found


def _is_recent(instance: TaskInstance, since: datetime) -> bool:
    last = instance.end or instance.start
    return instance.state == "running" or (last is not None and last >= since)


def _finding(
    kind: FindingKind,
    dag: Dag,
    task_id: str,
    newest: TaskInstance,
    values: Sequence[float],
    past: Past,
    links: Links,
) -> Finding:
    runs = len(values) - 1
    if kind is FindingKind.SLOW_TASK:
        verb = "has run for" if newest.state == "running" else "took"
        title = f"{dag.dag_id}.{task_id} {verb} {duration(values[0])}, usually {duration(past.median)}"
    else:
        title = f"{dag.dag_id}.{task_id} waited {duration(values[0])} to begin, usually {duration(past.median)}"
    slot = newest.slot_wait
    where = ""
    if kind is FindingKind.LONG_WAIT and slot is not None and newest.worker_wait is not None:
        where = f" {duration(slot)} of it for a slot in {newest.pool}, {duration(newest.worker_wait)} for a worker."
    return Finding(
        kind=kind,
        subject=f"{dag.dag_id}.{task_id}",
        severity=Severity.WARNING,
        owners=dag.owners,
        title=title,
        dag_id=dag.dag_id,
        task_id=task_id,
        since=newest.start,
        url=links.task_instance(dag.dag_id, newest.run_id, task_id, newest.map_index),
        **about(
            [newest.run_id],
            f"Limit from its last {runs} runs: {duration(past.limit)}.{where}",
            {"seconds": values[0], "median_seconds": past.median, "limit_seconds": past.limit, "runs": runs},
        ),
        history=tuple(round(value, 1) for value in reversed(values[:SHOWN])),
    )
