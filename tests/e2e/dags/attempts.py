"""Three DAGs. A task of the first DAG fails at its first try in the first run of each MLJob. The
second DAG sleeps. The third DAG makes a prediction.
"""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task

with DAG(
    "attempts_flaky",
    description="Its second task fails at its first try in the first run of an MLJob",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["attempts"],
):

    @task
    def prepare() -> int:
        return get_current_context()["ti"].try_number

    @task(retries=0, retry_delay=timedelta(seconds=1))
    def flaky() -> None:
        context = get_current_context()
        if context["ti"].try_number == 1 and context["dag_run"].run_id.endswith("-1"):
            raise RuntimeError("the warehouse was away")

    @task
    def score() -> float:
        return 0.93

    prepare() >> flaky() >> score()


with DAG(
    "attempts_wait",
    description="Waits for as long as its conf says",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["attempts"],
    params={"seconds": Param(600, type="number", minimum=0), "label": Param("", type="string", maxLength=20)},
):

    @task
    def wait() -> str:
        params = get_current_context()["params"]
        time.sleep(params["seconds"])
        return str(params["label"])

    wait()


with DAG(
    "attempts_infer",
    description="One prediction on demand, many at once",
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=100,
    tags=["attempts"],
    params={"x": Param(1, type="number")},
):

    @task
    def predict() -> dict[str, float]:
        x = float(get_current_context()["params"]["x"])
        return {"y": 2 * x}

    @task
    def double(index: int) -> int:
        return 2 * index

    @task
    def conf_keys() -> dict[str, str]:
        conf = get_current_context()["dag_run"].conf or {}
        return {name: type(value).__name__ for name, value in conf.items()}

    predict()
    double.expand(index=[1, 2, 3])
    conf_keys()
