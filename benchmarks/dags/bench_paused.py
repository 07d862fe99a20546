"""A paused DAG, whose runs stay queued. The benchmarks produce the events themselves, so that only
the operator works.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, chain

with DAG(dag_id="bench_paused", schedule=None, is_paused_upon_creation=True, tags=["benchmark"]):
    chain(*(EmptyOperator(task_id=task_id) for task_id in ("extract", "prepare", "train", "evaluate", "publish")))
