from __future__ import annotations

import copy
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from mljob_airflow.compatibility import read_dag_files
from mljob_airflow.events.callbacks import mljob_callbacks
from mljob_airflow.jobs.declaration import job_of
from tests.airflow.versions import ParamValidationError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "airflow-provider" / "example_dags"
OWN = ROOT / "airflow-provider" / "src" / "mljob_airflow" / "dags"
PARITY = ROOT / "tests" / "e2e" / "dags"
BROKEN = ROOT / "tests" / "e2e" / "dags_broken"
PAUSED = ("parity_paused", "submission_paused", "backfill_contract_days", "events_paused")


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    # read_dag_files adds a folder to sys.path.
    monkeypatch.setattr("sys.path", [*sys.path])


def load(folder: Path) -> Any:
    return read_dag_files(folder)


@pytest.mark.parametrize("folder", [pytest.param(EXAMPLES, id="examples"), pytest.param(PARITY, id="parity")])
def test_the_dags_import_and_run_only_when_triggered(folder: Path) -> None:
    bag = load(folder)
    assert bag.import_errors == {}
    assert bag.dags
    for dag in bag.dags.values():
        # A DAG for backfills needs a schedule, so its schedule has ended.
        assert dag.schedule is None or (dag.end_date < datetime.now(UTC) and not dag.catchup)
        assert dag.is_paused_upon_creation is (dag.dag_id in PAUSED)


def test_the_dags_in_the_readme_import_and_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(), re.DOTALL)
    written = [block for block in blocks if re.search(r"\bDAG\(|\bmljob_dag\(", block)]
    for number, block in enumerate(written):
        (tmp_path / f"readme_{number}.py").write_text(block)
    bag = load(tmp_path)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"train", "train_model"}
    bag.dags["train"].get_task("fit").python_callable()


def test_a_broken_dag_is_an_import_error() -> None:
    assert len(load(BROKEN).import_errors) == 1


def test_the_examples_are_instrumented() -> None:
    for dag in load(EXAMPLES).dags.values():
        for task in dag.tasks:
            assert list(task.on_success_callback) == mljob_callbacks()["on_success_callback"], task.task_id


def test_the_examples_are_declared_jobs_and_one_plain_dag() -> None:
    dags = load(EXAMPLES).dags
    assert {dag_id for dag_id, dag in dags.items() if job_of(dag) is None} == {"daily_statistics"}


def test_the_parity_dags_do_not_use_this_package() -> None:
    instrumented = {
        path.name
        for path in PARITY.rglob("*.py")
        if "import mljob" in path.read_text() or "from mljob" in path.read_text()
    }
    assert instrumented == {"chained.py", "client.py", "declared.py", "environments.py", "leaks.py", "run_api.py"}


@pytest.fixture(scope="module")
def canceller() -> DAG:
    return load(OWN).dags["mljob_cancel"]


def test_the_cancellation_dag_returns_its_report_as_one_value(canceller: DAG) -> None:
    assert canceller.max_active_runs >= 100
    assert not canceller.get_task("cancel").multiple_outputs


RUN = {"dag_id": "train", "dag_run_id": "run"}


DEFAULTS: dict[str, Any] = {
    "dag_id": None,
    "dag_run_id": None,
    "targets": [],
    "reason": "cancelled by hand",
    "mode": "graceful",
    "teardown_seconds": 30,
}


def params_of(dag: DAG, conf: dict[str, Any]) -> Any:
    params = copy.deepcopy(dag.params)
    params.update(conf)
    return params.validate()


@pytest.mark.parametrize(
    "conf",
    [
        pytest.param({**RUN, "reason": "the MLJob was deleted"}, id="what the operator gives"),
        pytest.param({**RUN, "teardown_seconds": 0.5}, id="a bound for teardown tasks"),
        pytest.param({**RUN, "teardown_seconds": 600}, id="the longest time for teardown tasks"),
        pytest.param({"targets": [RUN, {**RUN, "dag_run_id": "other"}], "mode": "immediate"}, id="several"),
    ],
)
def test_the_cancellation_dag_accepts_valid_params(canceller: DAG, conf: dict[str, Any]) -> None:
    assert params_of(canceller, conf) == {**DEFAULTS, **conf}


@pytest.mark.parametrize(
    "conf",
    [
        pytest.param({"targets": [{"dag_id": "train"}]}, id="half a target"),
        pytest.param({"targets": [RUN | {"note": "x"}]}, id="a target with more"),
        pytest.param({"targets": [RUN] * 101}, id="too many"),
        pytest.param({"targets": "train/run"}, id="a target as a text"),
        pytest.param({**RUN, "mode": "kill"}, id="another mode"),
        pytest.param({**RUN, "teardown_seconds": -1}, id="a time before now"),
        pytest.param({**RUN, "teardown_seconds": 601}, id="a time that is too long"),
    ],
)
def test_the_cancellation_dag_refuses_invalid_params(canceller: DAG, conf: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        params_of(canceller, conf)
