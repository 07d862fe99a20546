"""DAGs for tests/e2e/test_environments.py."""

from __future__ import annotations

import time

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from mljob_airflow import publish_outputs

PLAIN = {"schedule": None, "is_paused_upon_creation": False, "tags": ["environments"]}


@task
def nap(seconds: float) -> None:
    time.sleep(seconds)


with DAG("environments_ds", description="A template that needs a logical date", **PLAIN):
    BashOperator(task_id="for_the_day", bash_command="echo {{ ds }}")

with DAG(
    "environments_outputs", description="More outputs than a small page holds, and values that are no JSON", **PLAIN
):

    @task
    def publish(number: int) -> tuple[int, int]:
        publish_outputs(**{f"o{number}": number})
        return number, number

    publish.expand(number=list(range(7)))

with DAG("environments_two_steps", description="To be paused in mid-run", **PLAIN):
    nap.override(task_id="first")(12) >> nap.override(task_id="second")(0)

with DAG("environments_child", description="Goes on when its parent is cancelled", **PLAIN):
    nap(600)

with DAG("environments_parent", description="Waits for a child", **PLAIN):
    TriggerDagRunOperator(
        task_id="trigger",
        trigger_dag_id="environments_child",
        wait_for_completion=True,
        poke_interval=2,
    )
