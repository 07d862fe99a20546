"""A DAG that repeats a value of its conf in an output and in an error."""

from __future__ import annotations

import json
from datetime import timedelta

from airflow.sdk import DAG, get_current_context, task

from mljob_airflow import mljob_callbacks, publish_outputs

with DAG(
    "leaks_password",
    description="Its outputs and the text of its failure quote the password that it got",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["secrets"],
    default_args=mljob_callbacks(),
):

    @task
    def publish() -> None:
        password = get_current_context()["dag_run"].conf["password"]
        publish_outputs(dsn=f"postgresql://ml:{password}@warehouse", rows=7)

    @task(retries=1, retry_delay=timedelta(seconds=20))
    def connect() -> None:
        context = get_current_context()
        password = context["dag_run"].conf["password"]
        # Long enough that the operator truncates the message in the middle of the last quotation.
        quoted = f"postgresql://ml:{password}@warehouse refused {json.dumps({'password': password})} {'x' * 275} "
        raise ConnectionError(f"try {context['ti'].try_number}: {quoted}{password}")

    publish() >> connect()
