"""DAGs with tasks that wait. Two tasks wait for a person's input. One task waits in the triggerer
for about a minute.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, Param, task

with DAG(
    "people_approve",
    description="Asks for approval before it deploys",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["people"],
    params={"model": Param("churn", type="string")},
):

    @task
    def train() -> float:
        return 0.93

    @task
    def deploy() -> str:
        return "deployed"

    train() >> ApprovalOperator(task_id="approve", subject="Deploy {{ params.model }}?") >> deploy()


with DAG(
    "people_label",
    description="Asks about several pictures at once",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["people"],
):
    HITLOperator.partial(task_id="label", options=["cat", "dog"]).expand(
        subject=["What is on picture 0?", "What is on picture 1?", "What is on picture 2?"]
    )


with DAG(
    "people_nobody",
    description="Waits for time to pass, without a worker",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["people"],
):
    TimeDeltaSensor(task_id="wait", delta=timedelta(seconds=60), deferrable=True)
