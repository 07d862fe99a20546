"""Predict the digits in up to 100 images, with a model from a run of the DAG ``select_model`` or
``train_model``. The images are in the conf of this DAG's run. The predicted digits are in the
MLJob's ``.status.outputs``.

Many runs can be active at the same time. To predict more than 100 images in one run, use the DAG
``predict``.
"""

from __future__ import annotations

from typing import Annotated, Any

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts
from mljob_examples.waiting import ModelParams, wait_for_model

Pixel = Annotated[float, Field(ge=0, le=16)]
Image = Annotated[list[Pixel], Field(min_length=64, max_length=64)]

# fmt: off
A_SEVEN = [
    0, 0, 7, 8, 13, 16, 15, 1, 0, 0, 7, 7, 4, 11, 12, 0, 0, 0, 0, 0, 8, 13, 1, 0, 0, 4, 8, 8, 15, 15, 6, 0,
    0, 2, 11, 15, 15, 4, 0, 0, 0, 0, 0, 16, 5, 0, 0, 0, 0, 0, 9, 15, 1, 0, 0, 0, 0, 0, 13, 5, 0, 0, 0, 0,
]
# fmt: on


class InferParams(ModelParams):
    """Params of the DAG ``infer``."""

    images: list[Image] = Field(
        min_length=1,
        max_length=100,
        examples=[[A_SEVEN]],
        description="Handwritten digits, each of 8 rows with 8 pixels, from 0 (paper) to 16 (ink).",
    )


class InferOutputs(BaseModel):
    """Outputs of a run of ``infer``."""

    model_version: str = Field(description="Version of the model.")
    digits: list[int] = Field(description="The digit in each image, in the order of the images.")
    confidences: list[float] = Field(description="Confidence of the model for each image, from 0 to 1.")


with mljob_dag(
    "infer",
    type=JobType.INFERENCE,
    params=InferParams,
    outputs=InferOutputs,
    owner="ml-platform",
    description="Reads the handwritten digits in its conf with a trained model",
    doc_md=__doc__,
    tags=["example"],
) as job:

    @task
    def read(version: str) -> list[list[float]]:
        """Return, for each image, the probability of each digit."""
        import joblib
        import numpy as np

        params = job.params()
        model = joblib.load(artifacts.find("models", params.model_id, version).file("model.joblib"))
        probabilities = model.predict_proba(np.array(params.images))
        report(progress=1, metrics={"images": len(params.images)})
        rows: list[list[float]] = probabilities.tolist()
        return rows

    @task
    def answer(probabilities: list[Any], version: str) -> None:
        """Publish the most probable digit of each image, and the digit's probability."""
        job.publish(
            model_version=version,
            digits=[row.index(max(row)) for row in probabilities],
            confidences=[round(max(row), 4) for row in probabilities],
        )

    version = wait_for_model(job)
    answer(read(version), version)
