"""DAGs for MLJobs that use outputs of other MLJobs. The DAG ``chained_step`` publishes its conf as
outputs, but with the value of ``steps`` increased by 1.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, get_current_context, task

from mljob_airflow import mljob_callbacks, publish_outputs

with DAG(
    "chained_data",
    description="Publishes a dataset; its first try fails if its conf says so",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["chained"],
    default_args=mljob_callbacks(),
    params={"fails_once": Param(False, type="boolean"), "rows": Param(2000, type="integer")},
):

    @task
    def generate() -> None:
        context = get_current_context()
        if context["params"]["fails_once"] and context["ti"].try_number == 1:
            raise RuntimeError("the warehouse was away")
        publish_outputs(dataset="digits", rows=context["params"]["rows"], labels=["zero", "one"])

    generate()


with DAG(
    "chained_step",
    description="Publishes the conf that it got",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["chained"],
    default_args=mljob_callbacks(),
):

    @task
    def repeat() -> None:
        conf = get_current_context()["dag_run"].conf or {}
        publish_outputs(**{**conf, "steps": conf.get("steps", 0) + 1})

    repeat()
