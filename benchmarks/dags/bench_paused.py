"""A DAG whose runs stay queued: benchmarks make their events themselves, so that nothing but the operator is at work."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, chain

with DAG(dag_id="bench_paused", schedule=None, is_paused_upon_creation=True, tags=["benchmark"]):
    chain(*(EmptyOperator(task_id=task_id) for task_id in ("extract", "prepare", "train", "evaluate", "publish")))
