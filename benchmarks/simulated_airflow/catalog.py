"""The DAGs of the benchmarks and of the contract tests, for the simulated Airflow."""

from __future__ import annotations

from .dags import Dag, cancellation_dag

FIVE = ("extract", "prepare", "train", "evaluate", "publish")
BUSY, SILENT, PAUSED = "bench_busy", "bench_silent", "bench_paused"


def benchmark_dags() -> list[Dag]:
    """Return the DAGs of the benchmarks, and the DAG that cancels runs.

    A run of ``bench_busy`` executes five tasks in about two seconds. In a run of
    ``bench_silent``, the first task starts and never ends. Runs of ``bench_paused`` stay queued.
    """
    return [
        Dag(dag_id=BUSY, tasks=FIVE, queued_seconds=0.2, task_seconds=0.35, jitter=0.5),
        Dag(dag_id=SILENT, tasks=FIVE, outcome="waits"),
        Dag(dag_id=PAUSED, tasks=FIVE, is_paused=True),
        cancellation_dag(),
    ]


def contract_dags() -> list[Dag]:
    """Return the DAGs that ``tests/contract`` needs. They imitate the DAGs with the same ids in
    ``tests/e2e/dags``.
    """
    return [
        Dag(
            dag_id="parity_params",
            tasks=("echo",),
            required=("count",),
            params={"count": {"value": None, "schema": {"type": "integer"}}},
        ),
        Dag(dag_id="parity_paused", tasks=("waits_for_unpause",), is_paused=True),
        Dag(dag_id="parity_mapped", tasks=("a", "b")),
        Dag(dag_id="backfill_contract_days", is_paused=True, daily=True),
        Dag(dag_id="people_approve", tasks=("train", "approve", "deploy"), asks={"approve": "Deploy {model}?"}),
    ]


def all_dags() -> list[Dag]:
    """Return all DAGs of this module."""
    return benchmark_dags() + contract_dags()
