"""Makes a DAG run wait until a dataset or a model exists. The run's params name the dataset or the
model. So a user can create two MLJobs at the same time: one trains a model, and the other predicts
with this model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow.sdk import PokeReturnValue, task
from pydantic import BaseModel, Field

from mljob_airflow.jobs import Job
from mljob_examples import artifacts

POKE_INTERVAL = 10
"""Seconds between two pokes of the sensor. With a shorter interval, Airflow may set the sensor to
failed, see :mod:`mljob_airflow.tasks.waiting`.
"""


class Wanted(NamedTuple):
    """The version of a dataset or a model that a run waits for."""

    kind: artifacts.Kind
    name: str
    version: str
    made_by: str
    """How to make the artifact, for the error message if the artifact does not exist in time."""


class DatasetParams(BaseModel):
    """Params of a DAG that uses a dataset."""

    dataset: str = Field("digits", pattern=artifacts.NAME, description="Name of the dataset to work on.")
    dataset_version: str = Field("latest", pattern=artifacts.VERSION, description="Version of the dataset.")
    wait_seconds: float = Field(300, ge=0, description="Seconds to wait for the dataset.")

    def wanted(self) -> Wanted:
        """Return the name and the version of the dataset to wait for, as a :class:`Wanted`."""
        made_by = f"run generate_dataset with conf dataset={self.dataset!r} first"
        if self.dataset.endswith(artifacts.ENRICHED):
            made_by = f"run enrich_dataset with conf dataset={self.dataset.removesuffix(artifacts.ENRICHED)!r} first"
        return Wanted("datasets", self.dataset, self.dataset_version, made_by)


class ModelParams(BaseModel):
    """Params of a DAG that uses a model."""

    model_id: str = Field("digits", pattern=artifacts.NAME, description="Id of the model to use.")
    model_version: str = Field("latest", pattern=artifacts.VERSION, description="Version of the model.")
    wait_seconds: float = Field(600, ge=0, description="Seconds to wait for the model.")

    def wanted(self) -> Wanted:
        """Return the name and the version of the model to wait for, as a :class:`Wanted`."""
        made_by = f"run select_model or train_model with conf model_id={self.model_id!r} first"
        return Wanted("models", self.model_id, self.model_version, made_by)


def wait_for_dataset(job: Job[Any]) -> Any:
    """Add a sensor to the DAG of ``job``. The sensor waits for the dataset that the run's params
    name. Return the sensor's output: the version of the dataset. The DAG must declare its params
    with :class:`DatasetParams` or a subclass.
    """
    return _wait(job, "wait_for_dataset")


def wait_for_model(job: Job[Any]) -> Any:
    """Add a sensor to the DAG of ``job``. The sensor waits for the model that the run's params
    name. Return the sensor's output: the version of the model. The DAG must declare its params with
    :class:`ModelParams` or a subclass.
    """
    return _wait(job, "wait_for_model")


def _wait(job: Job[Any], task_id: str) -> Any:
    """Add a sensor to the DAG, and return the sensor's output: the name of the version that the
    sensor has found. Later tasks must use this version instead of ``latest``, because ``latest``
    may change during the run.
    """

    @task.sensor(task_id=task_id, mode="reschedule", poke_interval=POKE_INTERVAL, timeout=24 * 3600)
    def wait() -> PokeReturnValue:
        params = job.params()
        kind, name, version, made_by = params.wanted()
        exists = artifacts.is_published(kind, name, version, within=params.wait_seconds, otherwise=made_by)
        return PokeReturnValue(exists, artifacts.find(kind, name, version).version if exists else None)

    return wait()
