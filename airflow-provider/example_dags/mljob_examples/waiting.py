"""Waiting for a dataset or a model: the params that say which, and the sensor that waits for it.

It may be in the making: an MLJob that predicts can be applied together with the one that trains.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow.sdk import PokeReturnValue, task
from pydantic import BaseModel, Field

from mljob_airflow.jobs import Job
from mljob_examples import artifacts

LOOK_EVERY = 10
"""Seconds; more often is too often for Airflow, see :mod:`mljob_airflow.tasks.waiting`."""


class Wanted(NamedTuple):
    """What a run needs before it can begin."""

    kind: artifacts.Kind
    name: str
    version: str
    made_by: str
    """What to do when it does not come."""


class DatasetParams(BaseModel):
    """Which dataset to work on."""

    dataset: str = Field("digits", pattern=artifacts.NAME, description="Name of the dataset to work on.")
    version: str = Field("latest", pattern=artifacts.VERSION, description="Which of its versions; latest, or by name.")
    wait_seconds: float = Field(300, ge=0, description="How long to wait for the dataset.")

    def wanted(self) -> Wanted:
        """The dataset."""
        made_by = f"run generate_dataset with conf dataset={self.dataset!r} first"
        if self.dataset.endswith(artifacts.ENRICHED):
            made_by = f"run enrich_dataset with conf dataset={self.dataset.removesuffix(artifacts.ENRICHED)!r} first"
        return Wanted("datasets", self.dataset, self.version, made_by)


class ModelParams(BaseModel):
    """Which model to use."""

    model_id: str = Field("digits", pattern=artifacts.NAME, description="Id of the model to use.")
    model_version: str = Field(
        "latest", pattern=artifacts.VERSION, description="Which of its versions; latest, or by name."
    )
    wait_seconds: float = Field(600, ge=0, description="How long to wait for the model.")

    def wanted(self) -> Wanted:
        """The model."""
        made_by = f"run select_model or train_model with conf model_id={self.model_id!r} first"
        return Wanted("models", self.model_id, self.model_version, made_by)


def wait_for_dataset(job: Job[Any]) -> Any:
    """A task of a job with :class:`DatasetParams`, whose value is the version of the dataset; see :func:`_wait`."""
    return _wait(job, "wait_for_dataset")


def wait_for_model(job: Job[Any]) -> Any:
    """A task of a job with :class:`ModelParams`, whose value is the version of the model; see :func:`_wait`."""
    return _wait(job, "wait_for_model")


def _wait(job: Job[Any], task_id: str) -> Any:
    """Wait, without a worker's slot, until what is wanted is there; say what is missing when it does not come.

    Which version it is, all tasks are told: ``latest`` may be another one before the run is over.
    """

    @task.sensor(task_id=task_id, mode="reschedule", poke_interval=LOOK_EVERY, timeout=24 * 3600)
    def wait() -> PokeReturnValue:
        params = job.params()
        kind, name, version, made_by = params.wanted()
        there = artifacts.is_published(kind, name, version, within=params.wait_seconds, otherwise=made_by)
        return PokeReturnValue(there, artifacts.find(kind, name, version).version if there else None)

    return wait()
