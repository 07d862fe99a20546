"""Airflow stores, triggers and runs a DAG declared with ``mljob_dag`` like any other DAG."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Self

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, task
from pydantic import BaseModel, Field, model_validator

from mljob_airflow import JobType, is_there, mljob_callbacks, mljob_dag
from mljob_airflow.compatibility import fail_exception
from mljob_airflow.events.callbacks import on_failure, on_success
from mljob_airflow.jobs.declaration import Job, job_of
from mljob_airflow.jobs.param_schema import DeclarationError
from mljob_contract.param_schema import ADDITIONAL_PARAMS
from tests.airflow.versions import DagSerialization, validate


class Optimizer(BaseModel):
    kind: Literal["sgd", "adam"] = "adam"
    rate: float = Field(0.001, gt=0)


class Tree(BaseModel):
    children: list[Tree] = []


class Params(BaseModel):
    model_id: str = Field(pattern="^[a-z]+$", description="Id of the model.")
    epochs: int = Field(20, ge=1)
    optimizer: Optimizer = Optimizer()
    limit: int | None = None
    tree: Tree | None = None

    @model_validator(mode="after")
    def enough(self) -> Self:
        if self.limit is not None and self.limit < self.epochs:
            raise ValueError("limit is below epochs")
        return self


class Outputs(BaseModel):
    score: float = Field(description="How good.")


def users_own(context: object) -> None: ...


def declare(dag_id: str = "train", **arguments: Any) -> Job[Any]:
    usual = {"type": JobType.TRAINING, "params": Params, "outputs": Outputs, "owner": "ml", "doc_md": "Trains. Well."}
    given: dict[str, Any] = usual | arguments
    with mljob_dag(dag_id, **given) as job:

        @task
        def fit() -> Any:
            return job.params().model_dump()

        @task(on_failure_callback=users_own, params={"own": 1})
        def judge(number: int) -> None: ...

        fit() >> judge.expand(number=[1, 2]) >> EmptyOperator(task_id="end")
    return job


def stored(job: Job[Any]) -> Any:
    return DagSerialization.from_dict(DagSerialization.to_dict(job.dag))


def test_a_job_has_no_schedule_and_is_not_paused() -> None:
    dag = stored(declare())
    assert (dag.timetable.can_be_scheduled, dag.catchup, dag.is_paused_upon_creation) == (False, False, False)
    assert dag.tags == {"mljob", "Training"}
    assert dag.description == "Trains"
    assert dag.doc_md == "Trains. Well.\n\n**Outputs**\n\n- `score`: How good.\n"
    assert dag.fileloc == __file__


def test_tasks_of_a_job_have_owner_retries_and_callbacks() -> None:
    dag = declare(owner_link="mailto:ml@example.com").dag
    fit, judge, end = (dag.get_task(task_id) for task_id in ("fit", "judge", "end"))
    assert (fit.owner, fit.retries, fit.retry_delay) == ("ml", 1, timedelta(seconds=10))
    assert dag.owner_links == {"ml": "mailto:ml@example.com"}
    assert {name: list(getattr(fit, name)) for name in mljob_callbacks()} == mljob_callbacks()
    assert list(judge.on_failure_callback) == [users_own, on_failure]
    assert list(judge.unmap({"op_kwargs": {"number": 1}}).on_success_callback) == [on_success]
    assert not end.has_on_success_callback, "Airflow would have to run it"


def test_arguments_override_the_defaults_of_the_job_type() -> None:
    dag = declare(retries=5, max_active_runs=3, tags=["x"], default_args={"owner": "me", "pool": "gpu"}).dag
    assert (dag.get_task("fit").retries, dag.max_active_runs, dag.get_task("fit").pool) == (5, 3, "gpu")
    assert dag.get_task("fit").owner == "me"
    assert stored(declare(schedule="@daily", params=Optimizer)).timetable.can_be_scheduled


def test_defaults_depend_on_the_job_type() -> None:
    inference, training = declare(type=JobType.INFERENCE).dag, declare().dag
    assert inference.max_active_runs == 100 > training.max_active_runs
    assert inference.get_task("fit").retry_delay == timedelta(seconds=1)


@pytest.mark.parametrize(
    "conf",
    [
        {"model_id": "digits"},
        {"model_id": "digits", "epochs": 3, "optimizer": {"kind": "sgd"}, "limit": 5, "more": "is allowed"},
        {"model_id": "digits", "tree": {"children": [{"children": []}]}},
    ],
)
def test_airflow_accepts_a_conf_that_fits(conf: dict[str, Any]) -> None:
    validate(stored(declare()), conf)


@pytest.mark.parametrize(
    ("conf", "complaint"),
    [
        ({}, "Invalid input for param model_id"),
        ({"model_id": "Digits"}, "Invalid input for param model_id"),
        ({"model_id": "digits", "epochs": 0}, "Invalid input for param epochs: 0 is less than the minimum"),
        ({"model_id": "digits", "optimizer": {"kind": "x"}}, "Invalid input for param optimizer"),
        ({"model_id": "digits", "tree": {"children": [1]}}, "Invalid input for param tree"),
    ],
)
def test_airflow_refuses_a_conf_that_does_not_fit(conf: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        validate(stored(declare()), conf)


def test_a_job_refuses_keys_that_are_not_params() -> None:
    dag = stored(declare())
    assert {
        name: dag.params.get_param(name).schema[ADDITIONAL_PARAMS] for name in Params.model_fields
    } == dict.fromkeys(Params.model_fields, False)


def test_a_job_whose_model_allows_other_keys_does_not_refuse_them() -> None:
    class Open(Params, extra="allow"):
        pass

    dag = stored(declare(params=Open))
    assert [name for name in Open.model_fields if ADDITIONAL_PARAMS in dag.params.get_param(name).schema] == []


class Run:
    def __init__(self, conf: dict[str, Any]) -> None:
        self.conf = conf


@pytest.fixture
def in_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    from airflow.sdk.definitions.param import process_params

    def enter(job: Job[Any], conf: dict[str, Any], task_id: str = "fit") -> None:
        params = process_params(job.dag, job.dag.get_task(task_id), conf, suppress_exception=False)
        context = {"params": params, "dag_run": Run(conf)}
        monkeypatch.setattr("airflow.sdk.get_current_context", lambda: context, raising=False)

    return enter


def test_a_task_gets_typed_params(in_task: Callable[..., None]) -> None:
    job = declare()
    in_task(job, {"model_id": "digits", "optimizer": {"rate": 0.5}, "more": 1})
    assert job.params() == Params(model_id="digits", optimizer=Optimizer(rate=0.5))


def test_the_model_decides_about_keys_that_are_no_params(in_task: Callable[..., None]) -> None:
    class Strict(Params, extra="forbid"):
        pass

    job = declare(params=Strict)
    in_task(job, {"model_id": "digits"}, task_id="judge")
    assert job.params().model_id == "digits", "a param of the task alone is no concern of the job's"
    in_task(job, {"model_id": "digits", "epoch": 1})
    with pytest.raises(Exception, match=r"conf\.epoch: Extra inputs are not permitted"):
        job.params()


def test_params_that_contradict_each_other_fail_the_task_without_a_retry(in_task: Callable[..., None]) -> None:
    job = declare()
    in_task(job, {"model_id": "digits", "limit": 5})
    with pytest.raises(fail_exception(), match="limit is below epochs"):
        job.params()


def test_a_dag_of_type_backfill_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"type: Backfill and spec\.backfill"):
        declare(type=JobType.BACKFILL)


def test_a_sensor_waits_for_a_file_and_fails_without_a_retry_when_it_does_not_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=60)
    monkeypatch.setattr(
        "airflow.sdk.get_current_context", lambda: {"dag_run": SimpleNamespace(start_date=began)}, raising=False
    )
    model = tmp_path / "model"
    assert not is_there(model, within=600, otherwise="run train first")
    with pytest.raises(fail_exception(), match=r"model does not exist after 6\d s: run train first"):
        is_there(model, within=30, otherwise="run train first")
    model.touch()
    assert is_there(model, within=0, otherwise="run train first")


def test_a_default_that_changes_is_an_import_error() -> None:
    import uuid

    class Changing(BaseModel):
        token: str = Field(default_factory=lambda: uuid.uuid4().hex)

    with pytest.raises(DeclarationError, match="changes with each call"):
        declare(params=Changing)


def test_parsing_a_job_again_makes_no_new_version() -> None:
    first, second = (DagSerialization.to_dict(declare().dag) for _ in range(2))
    assert first == second


def test_a_plain_dag_with_callbacks_is_not_a_declared_job() -> None:
    with DAG("train", params={"n": Param(1, type="integer")}, default_args={**mljob_callbacks(), "retries": 2}) as dag:

        @task
        def fit() -> Any: ...

        fit()
    declare()
    assert job_of(dag) is None
    assert list(dag.get_task("fit").on_success_callback) == [on_success]
