"""Finds tasks that run longer than in earlier runs, or that wait longer for slots and a worker.

Of a mapped task, only the first instance of each run (map index 0) is compared. So the task's
history covers many runs, although the history has a limited number of task instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mljob_airflow.monitoring.findings.mljobs import finding_fields
from mljob_airflow.monitoring.findings.statistics import Baseline, exceeded_baseline
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag, TaskInstance
from mljob_airflow.monitoring.wording import duration
from mljob_contract.reports import Finding, FindingKind, Severity

REPRESENTATIVES = (-1, 0)
"""The map indexes of the task instances that are judged: -1 for a task that is not mapped, 0 for a
mapped task.
"""
STARTED = ("running", "success", "failed")
"""The states of the task instances that are a task's history. Task instances that have not started
have neither a duration nor a wait, so many of them don't shorten the history.
"""
SHOWN = 60
"""The maximum number of durations or waits in the field ``history`` of a finding."""


def elapsed(instance: TaskInstance, now: datetime) -> float | None:
    """Return the seconds that a task instance took, or has taken so far. Return ``None`` unless the
    task instance is running or has succeeded, because a failure may end a task early.
    """
    if instance.state == "running" and instance.start is not None:
        return (now - instance.start).total_seconds()
    return instance.duration if instance.state == "success" else None


def candidates(
    recent: Iterable[TaskInstance], *, slow_seconds: float, wait_seconds: float, now: datetime
) -> list[tuple[str, str]]:
    """Return the tasks with an instance in ``recent`` that took at least ``slow_seconds`` or waited
    at least ``wait_seconds``, as pairs of DAG id and task id. The tasks are sorted by their longest
    duration or wait, the longest first.
    """
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
    """Return the findings about one task that runs or waits longer than in earlier runs.

    The time that a running instance has taken so far says little about its duration. So a running
    instance is no part of the task's earlier runs, and is judged by itself: a newer instance does
    not hide an instance that hangs. If several instances run longer than usual, the finding is
    about the one that has run longest.

    Args:
        dag: The task's DAG.
        task_id: The task.
        history: The task's instances in the states :data:`STARTED`, newest first. Running instances
            of older runs follow.
        links: Makes URLs of Airflow's UI.
        slow_seconds: Shorter durations are never a finding.
        wait_seconds: Shorter waits are never a finding.
        min_history: The minimum number of earlier durations or waits for a comparison. The
            newest three do not count.
        since: There is no finding about an instance that ended before this time.
        now: The current time.
    """
    durations = [(ti, seconds) for ti in history if (seconds := elapsed(ti, now)) is not None]
    ended = [(ti, seconds) for ti, seconds in durations if ti.state != "running"]
    running = sorted((pair for pair in durations if pair[0].state == "running"), key=lambda pair: -pair[1])
    waits = [(ti, ti.wait) for ti in history if ti.wait is not None]
    found: dict[FindingKind, Finding] = {}
    for kind, minimum, measured in (
        (FindingKind.SLOW_TASK, slow_seconds, [*running[:1], *ended]),
        (FindingKind.SLOW_TASK, slow_seconds, ended),
        (FindingKind.LONG_WAIT, wait_seconds, waits),
    ):
        if kind in found or not measured or measured[0][1] < minimum or not _is_recent(measured[0][0], since):
            continue
        values = [seconds for _, seconds in measured]
        baseline = exceeded_baseline(values, min_history=min_history)
        if baseline is not None:
            found[kind] = _finding(kind, dag, task_id, measured[0][0], values, baseline, links)
    return list(found.values())


def _is_recent(instance: TaskInstance, since: datetime) -> bool:
    last = instance.end or instance.start
    return instance.state == "running" or (last is not None and last >= since)


def _finding(
    kind: FindingKind,
    dag: Dag,
    task_id: str,
    newest: TaskInstance,
    values: Sequence[float],
    baseline: Baseline,
    links: Links,
) -> Finding:
    runs = len(values) - 1
    if kind is FindingKind.SLOW_TASK:
        verb = "has run for" if newest.state == "running" else "took"
        title = f"{dag.dag_id}.{task_id} {verb} {duration(values[0])}, usually {duration(baseline.median)}"
    else:
        title = f"{dag.dag_id}.{task_id} waited {duration(values[0])} to start, usually {duration(baseline.median)}"
    slot = newest.slot_wait
    where = ""
    if kind is FindingKind.LONG_WAIT and slot is not None and newest.worker_wait is not None:
        where = f" {duration(slot)} of the wait was for a slot in {newest.pool}, {duration(newest.worker_wait)} for a worker."
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
        **finding_fields(
            [newest.run_id],
            f"The limit from its last {runs} runs is {duration(baseline.limit)}.{where}",
            {"seconds": values[0], "median_seconds": baseline.median, "limit_seconds": baseline.limit, "runs": runs},
        ),
        history=tuple(round(value, 1) for value in reversed(values[:SHOWN])),
    )
