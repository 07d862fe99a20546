from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from mljob_airflow.jobs import declaration as jobs
from mljob_contract.job_type import JobType


class Params(BaseModel):
    epochs: int = 1


class Outputs(BaseModel):
    accuracy: float = Field(ge=0, le=1, description="Share that is right.")
    model_path: str


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen = {}
    monkeypatch.setattr(jobs, "publish_outputs", lambda **outputs: seen.update(outputs))
    return seen


def job(outputs: type[BaseModel] | None = Outputs) -> jobs.Job[Params]:
    return jobs.Job(SimpleNamespace(dag_id="train"), JobType.TRAINING, Params, outputs)


def test_outputs_as_declared_are_published_without_a_warning(
    published: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    job().publish(accuracy=0.5, model_path=tmp_path / "model")
    assert published == {"accuracy": 0.5, "model_path": tmp_path / "model"}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("outputs", "warning"),
    [
        ({"precision": 0.5}, "train does not declare the output 'precision': Outputs has accuracy, model_path."),
        (
            {"accuracy": "high"},
            "The value 'high' does not fit train's output 'accuracy': Input should be a valid number",
        ),
        (
            {"accuracy": 1.5},
            "The value 1.5 does not fit train's output 'accuracy': Input should be less than or equal to 1",
        ),
    ],
)
def test_outputs_that_differ_from_the_declaration_are_published_with_a_warning(
    published: dict[str, Any], caplog: pytest.LogCaptureFixture, outputs: dict[str, Any], warning: str
) -> None:
    with caplog.at_level(logging.WARNING):
        job().publish(**outputs)
    assert published == outputs
    [record] = caplog.records
    assert warning in record.getMessage()
    assert record.getMessage().endswith("It is published all the same.")


def test_an_exception_in_a_validator_does_not_fail_the_task(
    published: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Careless(BaseModel):
        accuracy: float

        @field_validator("accuracy")
        @classmethod
        def compare(cls, value: float) -> float:
            raise RuntimeError("no reference")

    with caplog.at_level(logging.WARNING):
        job(Careless).publish(accuracy=0.5)
    assert published == {"accuracy": 0.5}
    assert "could not be validated by train's model: RuntimeError: no reference" in caplog.text


def test_a_job_without_declared_outputs_may_publish_any(
    published: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    job(None).publish(anything=1)
    assert published == {"anything": 1}
    assert caplog.records == []


def test_inference_has_defaults_for_many_short_runs() -> None:
    profile = jobs.PROFILES[JobType.INFERENCE]
    assert profile.max_active_runs is not None
    assert profile.max_active_runs > 16
    assert profile.retry_delay < jobs.Profile().retry_delay


@pytest.mark.parametrize("module", ["mljob_airflow", "mljob_airflow.jobs.declaration"])
def test_a_dag_file_imports_neither_kafka_nor_the_models_of_mljobs(module: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(jobs.__file__).parents[2])},
    ).stdout.split()
    assert {"confluent_kafka", "mljob_contract.mljob", "mljob_contract.events", "jsonschema", "yaml"}.isdisjoint(loaded)
    if module == "mljob_airflow":
        assert "pydantic" not in loaded
