"""The parent DAG triggers a run of the child DAG. Both runs have the same run id."""

from __future__ import annotations

import time

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, get_current_context, task


@task
def nap(seconds: float) -> None:
    time.sleep(seconds)


with DAG(
    "trust_child",
    description="Its run has the run id of its parent's, and fails where the conf says so",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["trust"],
):

    @task(retries=0)
    def child() -> None:
        # A rendered template is text.
        if (get_current_context()["dag_run"].conf or {}).get("fails") == "True":
            raise RuntimeError("the child fails")

    child()

with DAG(
    "trust_parent",
    description="Triggers a child under its own run id, and goes on",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["trust"],
):
    trigger = TriggerDagRunOperator(
        task_id="trigger",
        trigger_dag_id="trust_child",
        trigger_run_id="{{ run_id }}",
        conf={"fails": "{{ dag_run.conf.get('child_fails', False) }}"},
    )
    trigger >> nap.override(task_id="train")(45)
