"""A DAG declared with ``mljob_dag``. Its params have nested and recursive models."""

from __future__ import annotations

from typing import Literal

from airflow.sdk import task
from pydantic import BaseModel, Field, model_validator

from mljob_airflow import JobType, mljob_dag


class Optimizer(BaseModel):
    kind: Literal["sgd", "adam"] = "adam"
    rate: float = Field(0.001, gt=0)


class Layer(BaseModel):
    width: int = Field(ge=1)
    branches: list[Layer] = []


class Params(BaseModel):
    model_id: str = Field(pattern="^[a-z]+$", description="Id of the model.")
    epochs: int = Field(20, ge=1)
    limit: int | None = None
    optimizer: Optimizer = Optimizer()
    network: Layer | None = None

    @model_validator(mode="after")
    def enough(self) -> Params:
        if self.limit is not None and self.limit < self.epochs:
            raise ValueError("limit is below epochs")
        return self


class Outputs(BaseModel):
    width: int = Field(description="Of the whole network.")
    rate: float = Field(description="That the optimizer had.")


def width_of(layer: Layer | None) -> int:
    return 0 if layer is None else layer.width + sum(width_of(branch) for branch in layer.branches)


with mljob_dag(
    "declared", type=JobType.TRAINING, params=Params, outputs=Outputs, owner="team-ml", doc_md="Measures a network."
) as job:

    @task
    def measure() -> None:
        params = job.params()
        # The rate has an undeclared type, and one name is undeclared.
        job.publish(width=width_of(params.network), rate=params.optimizer.kind, breadth=1)

    measure()
