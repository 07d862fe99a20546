"""DAGs for tests/e2e/test_mljob_api.py."""

from __future__ import annotations

import time
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from mljob_airflow import mljob_callbacks, report

EPOCHS = 6
HELD_AFTER = 2
"""The epoch after which the training waits for the test."""

with DAG(
    "run_api_training",
    description="Reports a loss curve, and waits for a file in the middle",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["run-api"],
    params={"directory": Param(type="string", description="Where the training looks for the file go.")},
    default_args=mljob_callbacks(),
):

    @task
    def prepare() -> None:
        print("100 rows are ready")

    @task
    def fit() -> None:
        go = Path(get_current_context()["params"]["directory"], "go")
        for epoch in range(EPOCHS):
            report(progress=(epoch + 1) / EPOCHS, metrics={"epoch": epoch, "loss": 1 / (epoch + 1)})
            print(f"epoch {epoch} is over")
            # The provider merges reports within half a second.
            time.sleep(0.6)
            while epoch == HELD_AFTER and not go.exists():
                time.sleep(0.1)
        print("the model is ready")

    @task
    def evaluate() -> None:
        print("the accuracy is 0.9")

    prepare() >> fit() >> evaluate()

with DAG(
    "run_api_failing",
    description="Fails in one of its tasks, and quotes its password",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["run-api"],
    default_args=mljob_callbacks(),
):

    @task
    def number(value: int) -> None:
        print(f"this is number {value}")

    @task
    def connect() -> None:
        password = get_current_context()["dag_run"].conf["password"]
        print(f"connecting with {password}")
        for row in range(100):
            print(f"row {row}")
        raise ConnectionError(f"postgresql://ml:{password}@warehouse refused")

    number.expand(value=[7, 8, 9]) >> connect()
