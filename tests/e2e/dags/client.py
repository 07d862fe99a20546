"""A DAG that simulates the training of a model. The run fails if the param ``data`` is the path of
a file that does not exist.
"""

from __future__ import annotations

import logging
from pathlib import Path

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report

BEST_RATE = 0.3
log = logging.getLogger(__name__)


class Params(BaseModel):
    rate: float = Field(0.1, gt=0, le=1)
    epochs: int = Field(3, ge=1, le=100)
    data: str | None = Field(None, description="A file that the training needs.")


class Outputs(BaseModel):
    accuracy: float = Field(description="The closer the rate is to 0.3, the better.")


with mljob_dag("client_training", type=JobType.TRAINING, params=Params, outputs=Outputs, owner="team-ml") as job:

    @task
    def prepare() -> None:
        params = job.params()
        log.info("looking for the data")
        if params.data is not None and not Path(params.data).exists():
            raise FileNotFoundError(f"no data at {params.data}")

    @task
    def fit() -> None:
        params = job.params()
        for epoch in range(params.epochs):
            report(progress=(epoch + 1) / params.epochs, metrics={"epoch": epoch, "loss": 1 / (epoch + 1)})
        job.publish(accuracy=round(1 - abs(params.rate - BEST_RATE), 3))

    prepare() >> fit()
