"""Each file in examples/ runs as it says, and its progress can be watched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from devstack.caches import remove_tree
from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Watch
from tests.live.mljobs import Object, holds

EXAMPLES = Path(__file__).parents[2] / "examples"
PLATFORM = EXAMPLES / "platform"
# Other folders contain files for other tools, which their own tests check.
AGAIN = [PLATFORM / "7-train-again.yaml", PLATFORM / "8-backfill-again.yaml"]
FILES = sorted({*EXAMPLES.glob("*.yaml"), *PLATFORM.glob("*.yaml")} - set(AGAIN))
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
    """`kubectl apply -f examples/train.yaml`, with a watch that starts before."""
    installation = new_installation("examples")
    with installation.jobs.watch() as watch:
        installation.jobs.kubectl("apply", f"--filename={EXAMPLES / 'train.yaml'}")
        yield installation, watch


@pytest.fixture(scope="module")
def data(stack: Stack) -> Path:
    """The folder in which the example DAGs store datasets, models and predictions."""
    return stack.directory / "data"


@pytest.fixture(scope="module")
def examples(training: tuple[Installation, Watch], data: Path) -> tuple[Installation, Watch]:
    """`kubectl apply` of the other files at once, with a watch that starts before."""
    # With KEEP_TEST_STACK, an earlier session may have left objects behind, which the waits below
    # would find.
    for made in data.glob("*/handwriting*"):
        remove_tree(made)
    training[0].jobs.kubectl("apply", *(f"--filename={file}" for file in FILES))
    return training


def test_each_kind_of_work_has_an_example() -> None:
    kinds = {found["spec"]["type"] for found in MLJOBS.values()}

    assert kinds >= {"Training", "DatasetGeneration", "Enrichment", "Prediction", "Inference", "Backfill"}


def test_each_example_file_contains_an_mljob() -> None:
    assert FILES
    for file in [*FILES, *AGAIN]:
        assert "MLJob" in [document["kind"] for document in yaml.safe_load_all(file.read_text())], file.name


@pytest.mark.parametrize("name", sorted(MLJOBS))
def test_example_succeeds_with_outputs(name: str, examples: tuple[Installation, Watch], airflow: AirflowRest) -> None:
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
def test_watch_shows_the_progress_of_an_example(name: str, examples: tuple[Installation, Watch]) -> None:
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
def test_training_shows_metrics_while_it_runs(training: tuple[Installation, Watch]) -> None:
    installation, watch = training
    name = "digits-train"
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


def test_training_compares_candidates_and_shows_the_effect_of_more_data(
    examples: tuple[Installation, Watch],
) -> None:
    installation, watch = examples
    name = "handwriting-train"
    status = installation.jobs.until_finished(name, within=BOUND)[name]["status"]
    tasks = {task["taskId"]: task for task in status["tasks"]}

    candidates = set(MLJOBS[name]["spec"]["conf"]["candidates"])
    assert tasks["cross_validate"]["mapped"]["total"] == len(candidates)
    compared = tasks["compare"]["metrics"]
    outputs: Object = status["outputs"]
    assert set(compared) == candidates
    assert outputs["accuracy"] == max(compared.values()) == compared[outputs["chosen"]] > 0.8
    fits = [task for seen in watch.statuses(name) for task in seen.get("tasks", ()) if task["taskId"] == "fit"]
    assert [task["metrics"]["rows"] for task in fits if task["state"] == "running" and task.get("metrics")]
    assert tasks["fit"]["metrics"]["rows"] == MLJOBS["handwriting-dataset"]["spec"]["conf"]["rows"]
    assert Path(outputs["plot_path"]).read_text().startswith("<svg")


def card_of(data: Path, kind: str, name: str, version: str) -> Object:
    card: Object = json.loads((data / kind / name / version / "card.json").read_text())
    return card


def lineage(data: Path, kind: str, name: str, version: str) -> list[str]:
    """An artifact, the artifact that it was made from, and so on."""
    steps = [f"{kind}/{name}/{version}"]
    for parent in card_of(data, kind, name, version)["parents"]:
        steps += lineage(data, parent["kind"], parent["name"], parent["version"])
    return steps


def latest_of(data: Path, day: str) -> str:
    return (data / "predictions" / f"handwriting-{day}" / "latest").read_text()


DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


def test_new_model_version_repeats_the_predictions_and_everything_is_traceable_to_the_dataset(
    examples: tuple[Installation, Watch], data: Path
) -> None:
    jobs = examples[0].jobs
    found = jobs.until_finished(*MLJOBS, within=BOUND)
    outputs = {name: job["status"].get("outputs", {}) for name, job in found.items()}
    dataset = f"datasets/handwriting/{outputs['handwriting-dataset']['dataset_version']}"
    enriched = f"datasets/handwriting-enriched/{outputs['handwriting-features']['dataset_version']}"
    first = outputs["handwriting-train"]["model_version"]
    assert outputs["handwriting-infer"]["model_version"] == first
    assert outputs["handwriting-infer"]["digits"] == [7]

    way = [f"models/handwriting/{first}", enriched, dataset]
    predictions = outputs["handwriting-predict"]["predictions_version"]
    assert lineage(data, "predictions", "handwriting", predictions)[1:] == way
    assert outputs["handwriting-predict"]["accuracy"] > 0.8
    before = {day: latest_of(data, day) for day in DAYS}
    assert [lineage(data, "predictions", f"handwriting-{day}", before[day])[1:] for day in DAYS] == [way] * 3

    again = [yaml.safe_load(file.read_text())["metadata"]["name"] for file in AGAIN]
    for file, name in zip(AGAIN, again, strict=True):
        jobs.kubectl("apply", f"--filename={file}")
        status = jobs.until_finished(name, within=BOUND)[name]["status"]
        assert status["phase"] == "Succeeded", jobs.evidence(name)

    second = jobs.status(again[0])["outputs"]["model_version"]
    assert second != first
    way = [f"models/handwriting/{second}", enriched, dataset]
    after = {day: latest_of(data, day) for day in DAYS}
    assert [lineage(data, "predictions", f"handwriting-{day}", after[day])[1:] for day in DAYS] == [way] * 3
    for day in DAYS:
        card = card_of(data, "predictions", f"handwriting-{day}", after[day])
        assert card["created_by"]["mljob"] == f"{jobs.namespace}/{again[1]}"
        # The prediction of the first model version still exists, and leads to that version.
        assert lineage(data, "predictions", f"handwriting-{day}", before[day])[1] == f"models/handwriting/{first}"


def in_order(phases: list[str | None]) -> bool:
    """Whether the phases of a job only moved forward."""
    ranks = {None: 0, "Pending": 1, "Queued": 2, "Running": 3, "Succeeded": 4}
    walked = [ranks[phase] for phase in phases]
    return walked == sorted(walked)
