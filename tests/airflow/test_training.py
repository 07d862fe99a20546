"""The example DAGs: ``generate_dataset`` makes a dataset, ``enrich_dataset`` adds features to a
dataset, and ``select_model`` compares models and publishes the best model.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from airflow.sdk import DAG

from mljob_airflow.compatibility import read_dag_files
from mljob_airflow.jobs import declaration as jobs

EXAMPLES = Path(__file__).parents[2] / "airflow-provider" / "example_dags"


@pytest.fixture(scope="module")
def dags() -> Iterator[dict[str, DAG]]:
    with pytest.MonkeyPatch.context() as patch:
        # Airflow adds a bundle's folder to the import path, so that its DAG files can import
        # modules of the folder.
        patch.setattr("sys.path", [*sys.path, str(EXAMPLES)])
        yield read_dag_files(EXAMPLES).dags


class Tasks:
    """The tasks of a DAG. ``tasks("merge", parts)`` calls the Python function of the task ``merge``
    with the argument ``parts``. ``outputs`` has the outputs that the functions have published.
    """

    def __init__(self, dag: DAG, conf: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self._dag = dag
        self.outputs: dict[str, Any] = {}
        job = jobs.job_of(dag)
        assert job is not None
        monkeypatch.setattr(job, "params", lambda: job._params(**conf))
        monkeypatch.setattr(job, "publish", lambda **outputs: self.outputs.update(outputs))

    def __call__(self, task_id: str, *arguments: Any, **given: Any) -> Any:
        return self._dag.get_task(task_id).python_callable(*arguments, **given)


Begin = Callable[..., Tasks]
"""A function that takes a DAG's id and a conf, and returns a :class:`Tasks` for a new run."""


@pytest.fixture
def begin(dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Begin:
    from mljob_examples import artifacts

    monkeypatch.setenv("MLJOB_DATA_DIR", str(tmp_path))

    def start(dag_id: str, **conf: Any) -> Tasks:
        run = SimpleNamespace(dag_id=dag_id, run_id=f"mljob.team-a.{dag_id}.aaaaaaaaaa-1", conf={})
        monkeypatch.setattr(artifacts, "get_current_context", lambda: {"dag_run": run, "run_id": run.run_id})
        return Tasks(dags[dag_id], conf, monkeypatch)

    return start


@pytest.fixture
def dataset(begin: Begin) -> Callable[..., Any]:
    def generate(source: str = "digits", rows: int = 600) -> dict[str, Any]:
        tasks = begin("generate_dataset", source=source, rows=rows, shards=2)
        merged = tasks("merge", [tasks("generate", **shard) for shard in tasks("plan")])
        tasks("publish", merged, tasks("check", merged))
        return tasks.outputs

    return generate


def enriched(begin: Begin, version: str, **conf: Any) -> dict[str, Any]:
    tasks = begin("enrich_dataset", **conf)
    families = tasks("choose_families")
    tasks("join", [tasks("family.check", tasks("family.compute", name, version)) for name in families], version)
    return tasks.outputs


def trained(begin: Begin, version: str, **conf: Any) -> dict[str, Any]:
    tasks = begin("select_model", folds=3, **conf)
    compared = tasks("compare", [tasks("cross_validate", name, version) for name in tasks("choose_candidates")])
    tasks("publish", compared, tasks("fit", compared, version), version)
    return tasks.outputs


def test_every_row_names_the_row_of_the_source_that_it_was_made_from(dataset: Callable[..., Any]) -> None:
    from mljob_examples import sources

    frame = pd.read_parquet(dataset("wine")["dataset_path"])
    known, unseen = sources.known("wine"), sources.unseen("wine")
    labels = dict(zip(known.origin, known.target, strict=True))

    assert [labels[origin] for origin in frame["origin"]] == frame["label"].tolist()
    near = known.data[np.searchsorted(known.origin, frame["origin"])]
    assert (np.abs(frame[known.names].to_numpy() - near).max(axis=0) < known.data.std(axis=0)).all()
    assert not set(frame["origin"]) & set(unseen.origin)
    assert len(known.origin) + len(unseen.origin) == 178


def test_rows_of_one_origin_are_never_in_training_and_test_data(dataset: Callable[..., Any]) -> None:
    from mljob_examples.candidates import folds

    frame = pd.read_parquet(dataset()["dataset_path"])
    labels, origins = frame["label"].to_numpy(), frame["origin"].to_numpy()
    assert len(set(origins)) < len(origins)
    parts = list(folds(labels, origins, 3, seed=0))

    assert sorted(np.concatenate([tested for _, tested in parts])) == list(range(len(frame)))
    for learned, tested in parts:
        assert not set(origins[learned]) & set(origins[tested])
        assert set(labels[tested]) == set(labels)


def test_the_best_candidate_becomes_the_model_with_metrics_a_plot_and_its_dataset(
    begin: Begin, dataset: Callable[..., Any]
) -> None:
    from mljob_examples import artifacts

    made = enriched(begin, dataset()["dataset_version"])
    outputs = trained(begin, made["dataset_version"], dataset="digits-enriched", model_id="churn")

    model = artifacts.find("models", "churn")
    table = model.card["candidates"]
    assert table[0]["candidate"] == outputs["chosen"] == model.card["chosen"]
    assert [row["accuracy"] for row in table] == sorted((row["accuracy"] for row in table), reverse=True)
    assert outputs["accuracy"] == table[0]["accuracy"] > 0.7
    assert {row["candidate"] for row in table} == {"logistic_regression", "nearest_neighbours", "random_forest"}
    assert model.parents == [artifacts.Artifact("datasets", "digits-enriched", made["dataset_version"])]
    metrics = json.loads(model.file("metrics.json").read_text())
    assert {name: len(scores) for name, scores in metrics["folds"].items()} == {row["candidate"]: 3 for row in table}
    rows = [rows for rows, _ in metrics["curve"]]
    assert rows == sorted(rows)
    drawn = ET.parse(outputs["plot_path"]).getroot()
    texts = [found.text for found in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"logistic regression", "nearest neighbours", "random forest"} < set(texts)
    # Three folds of each of three candidates, and the steps of the curve.
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == 9 + len(rows)


def test_a_model_takes_rows_of_the_source_and_adds_the_features_itself(
    begin: Begin, dataset: Callable[..., Any]
) -> None:
    from mljob_examples import sources

    made = enriched(begin, dataset()["dataset_version"], components=3, families=["components", "statistics"])
    outputs = trained(begin, made["dataset_version"], dataset="digits-enriched", candidates=["logistic_regression"])

    model, new = joblib.load(outputs["model_path"]), sources.unseen()
    assert model[0].transform(new.data).shape == (len(new.data), 64 + 3 + 4)
    assert model.score(new.data, new.target) > 0.7
    written = pd.read_parquet(made["dataset_path"])
    added = model[0].transform(written.iloc[:, :64].to_numpy())[:, 64:]
    columns = [*(f"component_{index}" for index in range(3)), "mean", "spread", "maximum", "energy"]
    assert np.allclose(added, written[columns], atol=1e-6)


def test_a_model_can_be_trained_on_a_dataset_without_features(begin: Begin, dataset: Callable[..., Any]) -> None:
    outputs = trained(begin, dataset("wine", 300)["dataset_version"], candidates=["random_forest"])

    assert joblib.load(outputs["model_path"]).n_features_in_ == 13
    assert outputs["chosen"] == "random_forest"


def test_no_model_is_published_when_no_candidate_is_good_enough(begin: Begin, dataset: Callable[..., Any]) -> None:
    version = dataset()["dataset_version"]

    with pytest.raises(
        Exception,
        match=r"nearest_neighbours, the best candidate, is below minimum_accuracy 1\.0: no model is published",
    ):
        trained(begin, version, candidates=["nearest_neighbours"], minimum_accuracy=1)


def test_a_run_that_waits_too_long_says_which_dag_to_run_first(begin: Begin) -> None:
    from mljob_examples.waiting import DatasetParams, ModelParams

    assert "generate_dataset with conf dataset='digits'" in DatasetParams().wanted().made_by
    assert "enrich_dataset with conf dataset='digits'" in DatasetParams(dataset="digits-enriched").wanted().made_by
    assert "select_model or train_model with conf model_id='churn'" in ModelParams(model_id="churn").wanted().made_by
