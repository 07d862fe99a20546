"""Every file in examples/ does what it says, and can be watched while it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Watch
from tests.live.mljobs import Object, holds

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))  # what is in folders is for other tools, and tested with them
MLJOBS = {
    document["metadata"]["name"]: document
    for file in FILES
    for document in yaml.safe_load_all(file.read_text())
    if document["kind"] == "MLJob"
}
BOUND = 420

pytestmark = pytest.mark.timeout(BOUND + 60)


@pytest.fixture(scope="module")
def training(new_installation: NewInstallation) -> Iterator[tuple[Installation, Watch]]:
    """`kubectl apply -f examples/train.yaml`, watched from before it."""
    installation = new_installation("examples")
    with installation.jobs.watch() as watch:
        installation.jobs.kubectl("apply", f"--filename={EXAMPLES / 'train.yaml'}")
        yield installation, watch


@pytest.fixture(scope="module")
def examples(training: tuple[Installation, Watch]) -> tuple[Installation, Watch]:
    """`kubectl apply -f examples/`, watched as well."""
    training[0].jobs.kubectl("apply", f"--filename={EXAMPLES}")
    return training


def test_there_is_an_example_for_every_kind_of_work() -> None:
    kinds = {found["spec"]["type"] for found in MLJOBS.values()}

    assert kinds >= {"Training", "DatasetGeneration", "Enrichment", "Prediction", "Inference", "Backfill"}


def test_every_file_holds_an_mljob() -> None:
    assert FILES
    for file in FILES:
        assert "MLJob" in [document["kind"] for document in yaml.safe_load_all(file.read_text())], file.name


@pytest.mark.parametrize("name", sorted(MLJOBS))
def test_an_example_succeeds_with_outputs(
    name: str, examples: tuple[Installation, Watch], airflow: AirflowRest
) -> None:
    installation, _ = examples

    status = installation.jobs.until_finished(name, within=BOUND)[name]["status"]

    assert status["phase"] == "Succeeded", installation.jobs.evidence(name)
    assert holds(status, "Complete")
    assert status["percent"] == 100
    if MLJOBS[name]["spec"]["type"] == "Backfill":
        wanted = MLJOBS[name]["spec"]["backfill"]
        days = (datetime.fromisoformat(wanted["to"]) - datetime.fromisoformat(wanted["from"])).days + 1
        assert {count: number for count, number in status["backfill"]["runs"].items() if number} == {
            "total": days,
            "success": days,
        }
        return
    assert status["outputs"], installation.jobs.evidence(name)
    assert airflow.ended(status["dagId"], status["dagRunId"])["state"] == "success"


@pytest.mark.parametrize("name", sorted(MLJOBS))
def test_an_example_can_be_watched(name: str, examples: tuple[Installation, Watch]) -> None:
    installation, watch = examples
    installation.jobs.until_finished(name, within=BOUND)
    eventually(lambda: watch.statuses(name)[-1].get("phase") == "Succeeded", "the watch has seen its end")
    seen = watch.statuses(name)

    assert in_order([status.get("phase") for status in seen]), [status.get("phase") for status in seen]
    percents = [status["percent"] for status in seen if "percent" in status]
    assert len(set(percents)) > 2, percents
    assert len({status["progress"] for status in seen if "progress" in status}) > 2
    if MLJOBS[name]["spec"]["type"] != "Backfill":
        assert {status.get("currentTask") for status in seen} - {None}


@pytest.mark.every_airflow
def test_training_shows_its_metrics_while_it_learns(training: tuple[Installation, Watch]) -> None:
    installation, watch = training
    [name] = [name for name, found in MLJOBS.items() if found["spec"]["type"] == "Training"]
    installation.jobs.until_finished(name, within=BOUND)
    fit = [task for status in watch.statuses(name) for task in status.get("tasks", ()) if task["taskId"] == "fit"]

    running = [task for task in fit if task["state"] == "running"]
    epochs = [task["metrics"]["epoch"] for task in running if task.get("metrics")]
    assert len(set(epochs)) >= 5, epochs
    assert epochs == sorted(epochs)
    losses = [task["metrics"]["loss"] for task in running if task.get("metrics")]
    assert losses[-1] < losses[0]
    shares = {task["progress"] for task in running if task.get("progress") is not None}
    assert len(shares) >= 5, shares
    outputs: Object = installation.jobs.status(name)["outputs"]
    assert outputs["accuracy"] > 0.9
    assert Path(outputs["model_path"]).exists()


def test_what_came_of_an_example_leads_back_to_what_it_was_made_from(examples: tuple[Installation, Watch]) -> None:
    jobs = examples[0].jobs
    found = jobs.until_finished(*MLJOBS, within=BOUND)
    outputs = {MLJOBS[name]["spec"]["dagId"]: job["status"].get("outputs", {}) for name, job in found.items()}
    datasets, models = outputs["generate_dataset"], outputs["train_model"]

    def parents_of(path: str) -> list[Any]:
        made_from: list[Any] = json.loads((Path(path).parent / "card.json").read_text())["parents"]
        return made_from

    digits = {"kind": "datasets", "name": "digits", "version": datasets["dataset_version"]}
    assert parents_of(outputs["enrich_dataset"]["dataset_path"]) == [digits]
    assert outputs["enrich_dataset"]["parent_version"] == datasets["dataset_version"]
    model = {"kind": "models", "name": "digits", "version": models["model_version"]}
    assert parents_of(outputs["predict"]["predictions_path"]) == [model]
    assert outputs["infer"]["model_version"] == models["model_version"]
    predictions = Path(models["model_path"]).parents[3] / "predictions"
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        versions = predictions / f"digits-{day}"
        latest = json.loads((versions / (versions / "latest").read_text() / "card.json").read_text())
        assert latest["parents"] == [model]
        assert latest["created_by"]["mljob"] == f"{jobs.namespace}/daily-predictions-backfill"
    made = json.loads((Path(models["model_path"]).parent / "card.json").read_text())
    assert made["metrics"] == {score: models[score] for score in ("accuracy", "f1")}


def in_order(phases: list[str | None]) -> bool:
    """Whether a job's phases only went forward."""
    ranks = {None: 0, "Pending": 1, "Queued": 2, "Running": 3, "Succeeded": 4}
    walked = [ranks[phase] for phase in phases]
    return walked == sorted(walked)
