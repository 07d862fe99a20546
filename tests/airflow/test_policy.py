"""With ``[mljob] instrument_all_dags``, the provider's cluster policy adds event callbacks to all
tasks.
"""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, task
from airflow.settings import load_policy_plugins, task_policy

from mljob_airflow.events.callbacks import CALLBACKS, mljob_callbacks, on_failure, on_success
from tests.airflow.versions import policy_plugins


def users_own(context: object) -> None: ...


@pytest.fixture(autouse=True)
def installed_policies() -> None:
    manager = policy_plugins()
    if not manager.has_plugin("mljob"):
        load_policy_plugins(manager)
    assert manager.has_plugin("mljob"), "the entry point of this package is not installed"


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MLJOB__INSTRUMENT_ALL_DAGS", "True")


def dag_of_all_kinds() -> DAG:
    with DAG("d", schedule=None) as dag:

        @task
        def decorated() -> None: ...

        @task(on_failure_callback=users_own)
        def mapped(number: int) -> None: ...

        decorated()
        mapped.expand(number=[1, 2])
        PythonOperator(task_id="classic", python_callable=print, on_failure_callback=users_own)
        PythonOperator.partial(task_id="classic_mapped", python_callable=print).expand(op_args=[[1], [2]])
        EmptyOperator(task_id="empty")
    for operator in dag.tasks:
        task_policy(operator)
    return dag


def callbacks_of(operator: Any) -> dict[str, Any]:
    found = {name: getattr(operator, name) for name in CALLBACKS}
    # A mapped @task keeps a single callback as it was given.
    return {name: [value] if callable(value) else list(value) for name, value in found.items()}


def test_no_task_is_instrumented_unless_the_setting_is_on() -> None:
    for operator in dag_of_all_kinds().tasks:
        assert not {callback for found in callbacks_of(operator).values() for callback in found} - {users_own}


@pytest.mark.usefixtures("switched_on")
@pytest.mark.parametrize("task_id", ["decorated", "classic_mapped"])
def test_a_task_gets_all_callbacks(task_id: str) -> None:
    assert callbacks_of(dag_of_all_kinds().get_task(task_id)) == mljob_callbacks()


@pytest.mark.usefixtures("switched_on")
@pytest.mark.parametrize("task_id", ["classic", "mapped"])
def test_a_callback_of_the_user_stays(task_id: str) -> None:
    expected = mljob_callbacks() | {"on_failure_callback": [users_own, on_failure]}
    assert callbacks_of(dag_of_all_kinds().get_task(task_id)) == expected


@pytest.mark.usefixtures("switched_on")
@pytest.mark.parametrize(
    ("task_id", "mapped_kwargs"), [("classic_mapped", {"op_args": [1]}), ("mapped", {"op_kwargs": {"number": 1}})]
)
def test_the_instances_of_a_mapped_task_have_the_callbacks(task_id: str, mapped_kwargs: dict[str, Any]) -> None:
    instance = dag_of_all_kinds().get_task(task_id).unmap(mapped_kwargs)
    assert list(instance.on_success_callback) == [on_success]


@pytest.mark.usefixtures("switched_on")
def test_airflow_still_skips_running_an_empty_operator() -> None:
    empty = dag_of_all_kinds().get_task("empty")
    assert not empty.has_on_execute_callback
    assert not empty.has_on_success_callback
