"""Finds runs and tasks that don't start, and says why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from mljob_airflow.monitoring.findings.health import grouped_by_dag, minutes_since
from mljob_airflow.monitoring.findings.mljobs import finding_fields
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag, QueuedRun, RunningRuns, TaskInstance
from mljob_airflow.monitoring.wording import count, duration, joined
from mljob_contract.reports import Finding, FindingKind, Severity

TASKS = "tasks"
"""The ``variant`` of findings about tasks. Findings about runs of the same DAG have no ``variant``.
"""


def stuck_runs(
    queued: Iterable[QueuedRun],
    dags: Mapping[str, Dag],
    running: Mapping[str, RunningRuns],
    links: Links,
    *,
    minutes: float,
    now: datetime,
) -> list[Finding]:
    """Return a finding for each DAG with runs that have been queued for too long.

    Paused and stale DAGs are left out: :mod:`.health` reports these DAGs. The queued runs of a
    backfill are left out while other runs of the backfill are running, because the backfill limits
    how many of its runs are running.

    Args:
        queued: All queued runs whose ``run_after`` has passed.
        dags: DAGs by DAG id.
        running: The numbers of running runs, by DAG id. If a DAG has no number here, or its
            ``max_active_runs`` is unknown, its finding does not name the cause, only what to check.
        links: Makes URLs of Airflow's UI.
        minutes: The time in the queue after which a run is stuck, in minutes.
        now: The current time.
    """
    found = []
    for dag_id, runs in grouped_by_dag(queued).items():
        dag = dags.get(dag_id, Dag(dag_id))
        active = running.get(dag_id)
        late = [
            run
            for run in runs
            if minutes_since(run.since, now) >= minutes and not (run.is_backfill and active and active.backfill)
        ]
        if not late or dag.is_paused or dag.is_stale:
            continue
        found.append(
            Finding(
                kind=FindingKind.STUCK_QUEUED,
                subject=dag_id,
                severity=Severity.CRITICAL,
                owners=dag.owners,
                title=f"{dag_id}: {count(len(late), 'run')} queued for {_longest(late[0].since, now)}",
                dag_id=dag_id,
                since=late[0].since,
                url=links.run(dag_id, late[0].run_id),
                **finding_fields(
                    (run.run_id for run in late),
                    " ".join(_causes_of_runs(late, dag, active)),
                    {"runs": len(late), "seconds": (now - late[0].since).total_seconds()},
                ),
            )
        )
    return found


def _causes_of_runs(late: Sequence[QueuedRun], dag: Dag, active: RunningRuns | None) -> Iterator[str]:
    if any(not run.is_backfill for run in late):
        if active is None or dag.max_active_runs is None:
            yield (
                "The monitor did not read the DAG's settings or running runs. Check whether the DAG is paused, whether "
                "max_active_runs is reached, and that the scheduler is running."
            )
        elif dag.max_active_runs and active.other >= dag.max_active_runs:
            yield (
                f"{count(active.other, 'run')} of the DAG {'is' if active.other == 1 else 'are'} running, and "
                f"max_active_runs is {dag.max_active_runs}: check whether they make progress."
            )
        else:
            yield (
                "max_active_runs is not reached: check that the scheduler is running, and its log for errors of this DAG."
            )
    if any(run.is_backfill for run in late):
        if active is None:
            yield (
                "The monitor did not read the running runs of the backfill. Check whether the backfill is paused, and "
                "whether its max_active_runs is reached."
            )
        else:
            yield (
                "No run of the backfill is running: check whether the backfill is paused, and that the scheduler is "
                "running."
            )


def stuck_tasks(
    waiting: Iterable[TaskInstance], dags: Mapping[str, Dag], links: Links, *, minutes: float, now: datetime
) -> list[Finding]:
    """Return a finding for each DAG with tasks that have waited too long for a slot or a worker.

    The scheduled tasks of a paused DAG are left out, because they wait until the DAG is unpaused.
    A queued task has its slot, and starts even if its DAG is paused.

    Args:
        waiting: All task instances in the states scheduled and queued.
        dags: DAGs by DAG id.
        links: Makes URLs of Airflow's UI.
        minutes: The waiting time after which a task is stuck, in minutes.
        now: The current time.
    """
    late: dict[str, list[tuple[datetime, TaskInstance]]] = {}
    for task in waiting:
        if task.state == "scheduled" and dags.get(task.dag_id, Dag(task.dag_id)).is_paused:
            continue
        since = task.queued if task.state == "queued" else task.scheduled
        if since is not None and minutes_since(since, now) >= minutes:
            late.setdefault(task.dag_id, []).append((since, task))
    return [
        _stuck_tasks(dag_id, sorted(tasks, key=lambda pair: pair[0]), dags.get(dag_id, Dag(dag_id)), links, now)
        for dag_id, tasks in late.items()
    ]


def _stuck_tasks(
    dag_id: str, late: Sequence[tuple[datetime, TaskInstance]], dag: Dag, links: Links, now: datetime
) -> Finding:
    since, first = late[0]
    tasks = [task for _, task in late]
    names = list(dict.fromkeys(task.task_id for task in tasks))
    return Finding(
        kind=FindingKind.STUCK_QUEUED,
        subject=dag_id,
        variant=TASKS,
        severity=Severity.CRITICAL,
        owners=dag.owners,
        title=f"{dag_id}: {count(len(late), 'task')} waiting for {_longest(since, now)}",
        dag_id=dag_id,
        since=since,
        url=links.task_instance(dag_id, first.run_id, first.task_id, first.map_index),
        **finding_fields(
            (task.run_id for task in tasks),
            f"{joined(names)}. {_cause({task.state for task in tasks}, {task.pool for task in tasks})}",
            {"tasks": len(late), "seconds": (now - since).total_seconds()},
        ),
    )


def _cause(states: Collection[str | None], pools: Collection[str]) -> str:
    causes = []
    if "scheduled" in states:
        causes.append(f"No slot: check the pool ({joined(sorted(pools))}), max_active_tasks and parallelism.")
    if "queued" in states:
        causes.append("No worker: check the executor.")
    return " ".join(causes)


def _longest(since: datetime, now: datetime) -> str:
    return duration((now - since).total_seconds())
