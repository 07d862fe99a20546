from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "airflow-provider" / "example_dags"


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setattr("sys.path", [*sys.path, str(EXAMPLES)])
    from mljob_examples import artifacts

    run = SimpleNamespace(dag_id="train_model", run_id="mljob.team-a.churn.aaaaaaaaaa-1", conf={})
    monkeypatch.setenv("MLJOB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(artifacts, "get_current_context", lambda: {"dag_run": run, "run_id": run.run_id})
    return artifacts


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "written"
        path.write_text(text)
        return path

    return write


def test_a_version_has_the_published_files_and_a_card(artifacts: ModuleType, written: Callable[[str], Path]) -> None:
    made = artifacts.publish("models", "churn", {"model": written("weights")}, metrics={"accuracy": 0.9})

    assert made.file("model").read_text() == "weights"
    assert made.card["created_by"]["mljob"] == "team-a/churn"
    assert made.card["metrics"] == {"accuracy": 0.9}
    assert "- metrics: accuracy 0.9" in made.file("card.md").read_text()
    assert not [path for path in made.path.iterdir() if path.stat().st_mode & 0o222]


def test_latest_is_the_last_published_version_and_earlier_versions_stay(
    artifacts: ModuleType, written: Callable[[str], Path]
) -> None:
    first = artifacts.publish("models", "churn", {"model": written("first")})
    second = artifacts.publish("models", "churn", {"model": written("second")})

    assert artifacts.find("models", "churn") == second != first
    assert artifacts.find("models", "churn", first.version).file("model").read_text() == "first"
    assert {path.name for path in second.path.parent.iterdir()} == {"latest", first.version, second.version}


def test_publishing_the_same_files_again_makes_no_new_version(
    artifacts: ModuleType, written: Callable[[str], Path]
) -> None:
    first = artifacts.publish("models", "churn", {"model": written("same")}, metrics={"try": 1})

    assert artifacts.publish("models", "churn", {"model": written("same")}, metrics={"try": 2}) == first
    assert first.card["metrics"] == {"try": 1}


def test_the_same_files_with_other_parents_are_another_version(
    artifacts: ModuleType, written: Callable[[str], Path]
) -> None:
    parents = [artifacts.publish("datasets", "churn", {"rows": written(rows)}) for rows in ("old", "new")]
    models = [artifacts.publish("models", "churn", {"model": written("m")}, parents=[parent]) for parent in parents]

    assert models[0].version != models[1].version
    assert [model.parents for model in models] == [[parent] for parent in parents]


def test_a_version_is_published_atomically(
    artifacts: ModuleType, tmp_path: Path, written: Callable[[str], Path]
) -> None:
    with pytest.raises(FileNotFoundError):
        artifacts.publish("models", "churn", {"model": written("m"), "metrics": tmp_path / "missing"})

    assert not (tmp_path / "data" / "models" / "churn" / "latest").exists()
    made = artifacts.publish("models", "churn", {"model": written("m")})
    assert artifacts.is_published("models", "churn", "latest", within=0, otherwise="")
    assert artifacts.is_published("models", "churn", made.version, within=0, otherwise="")


def test_a_card_describes_each_column(artifacts: ModuleType, written: Callable[[str], Path]) -> None:
    columns = artifacts.describe_columns(pd.DataFrame({"age": [1.0, 2.0, None], "label": [0, 1, 1]}))
    made = artifacts.publish("datasets", "churn", {"rows": written("r")}, rows=3, columns=columns)

    assert [(row["column"], row["missing"], row["distinct"], row["mean"]) for row in made.card["columns"]] == [
        ("age", 1, 2, 1.5),
        ("label", 0, 2, 0.6667),
    ]
    assert "| age | float64 | 1 | 2 | 1.5 |" in made.file("card.md").read_text()
