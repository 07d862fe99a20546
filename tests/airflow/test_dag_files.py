"""Every DAG file of this repository is one that Airflow imports (or refuses, where that is its purpose)."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from mljob_airflow.callbacks import mljob_callbacks

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "airflow-provider" / "example_dags"
CANCELLATION = ROOT / "airflow-provider" / "src" / "mljob_airflow" / "dags"
PARITY = ROOT / "tests" / "e2e" / "dags"
BROKEN = ROOT / "tests" / "e2e" / "dags_broken"


def load(folder):
    return DagBag(dag_folder=folder, bundle_path=folder, bundle_name="tests")


@pytest.mark.parametrize("folder", [EXAMPLES, CANCELLATION, PARITY], ids=lambda folder: folder.name)
def test_the_dags_import_and_run_only_when_triggered(folder):
    bag = load(folder)
    assert bag.import_errors == {}
    assert bag.dags
    for dag in bag.dags.values():
        assert dag.schedule is None
        assert dag.is_paused_upon_creation is (dag.dag_id == "parity_paused")


def test_a_broken_dag_is_an_import_error():
    assert len(load(BROKEN).import_errors) == 1


def test_the_examples_are_instrumented():
    for dag in load(EXAMPLES).dags.values():
        for task in dag.tasks:
            assert list(task.on_success_callback) == mljob_callbacks()["on_success_callback"], task.task_id


def test_the_parity_dags_know_nothing_of_mljobs():
    assert not [
        path for path in PARITY.rglob("*.py") if "import mljob" in path.read_text() or "from mljob" in path.read_text()
    ]


def test_the_cancellation_dag_takes_what_the_operator_gives():
    dag = load(CANCELLATION).dags["mljob_cancel"]
    assert set(dag.params) == {"dag_id", "dag_run_id", "reason", "teardown_seconds"}
    assert dag.max_active_runs >= 100
