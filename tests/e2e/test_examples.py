"""The MLJobs in examples/ and examples/platform/ succeed. The commands on the pages about examples
succeed too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from devstack.caches import remove_tree
from devstack.stack import Stack
from tests import libyaml
from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl, Watch
from tests.live.mljobs import Object, holds
from tests.live.page_shell import PageShell
from tests.page_runners import EXAMPLE_PAGES, Runner

EXAMPLES = Path(__file__).parents[2] / "examples"
PLATFORM = EXAMPLES / "platform"
# Other folders contain files for other tools, which their own tests check.
FILES = sorted({*EXAMPLES.glob("*.yaml"), *PLATFORM.glob("*.yaml")})
MLJOBS = {
    document["metadata"]["name"]: document
    for file in FILES
    for document in libyaml.load_all(file.read_text())
    if document["kind"] == "MLJob"
}
BOUND = 600

pytestmark = pytest.mark.timeout(BOUND + 60)


@pytest.fixture(scope="module")
def training(new_installation: NewInstallation) -> Iterator[tuple[Installation, Watch]]:
    """An Installation with an operator, and a watch of its MLJobs. The watch began before
    examples/train.yaml was applied.
    """
    installation = new_installation("examples")
    with installation.jobs.watch() as watch:
        installation.jobs.kubectl("apply", f"--filename={EXAMPLES / 'train.yaml'}")
        yield installation, watch


@pytest.fixture(scope="module")
def data(stack: Stack) -> Path:
    return stack.directory / "data"


@pytest.fixture(scope="module")
def examples(training: tuple[Installation, Watch], data: Path) -> tuple[Installation, Watch]:
    """The Installation and the watch of ``training``, after one ``kubectl apply`` of all files in
    ``FILES``.
    """
    # With KEEP_TEST_STACK, an earlier session may have left objects behind, which the waits below
    # would find.
    for made in data.glob("*/handwriting*"):
        remove_tree(made)
    single = [file for file in FILES if file.parent == EXAMPLES]
    training[0].jobs.kubectl("apply", *(f"--filename={path}" for path in [*single, PLATFORM]))
    return training


def test_each_kind_of_work_has_an_example() -> None:
    kinds = {found["spec"]["type"] for found in MLJOBS.values()}

    assert kinds >= {"Training", "DatasetGeneration", "Enrichment", "Prediction", "Inference", "Backfill"}


def test_each_example_file_contains_an_mljob() -> None:
    assert FILES
    for file in FILES:
        assert "MLJob" in [document["kind"] for document in libyaml.load_all(file.read_text())], file.name


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
    """Return the path of an artifact, followed by the lineage of each artifact from which this
    artifact was made.
    """
    steps = [f"{kind}/{name}/{version}"]
    for parent in card_of(data, kind, name, version)["parents"]:
        steps += lineage(data, parent["kind"], parent["name"], parent["version"])
    return steps


def predictions_version(data: Path, day: str, mljob: str) -> str:
    """Return the version of the predictions that an MLJob has made for a day. ``mljob`` is
    ``namespace/name``.
    """
    cards = (data / "predictions" / f"handwriting-{day}").glob("*/card.json")
    [card] = [card for card in cards if json.loads(card.read_text())["created_by"]["mljob"] == mljob]
    return card.parent.name


DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


def test_each_mljob_takes_the_outputs_of_the_mljobs_that_it_names(examples: tuple[Installation, Watch]) -> None:
    installation, watch = examples
    found = installation.jobs.until_finished(*MLJOBS, within=BOUND)
    taking = {
        name: [source["outputsRef"]["name"] for source in document["spec"].get("confFrom", ())]
        for name, document in MLJOBS.items()
    }
    assert len([name for name, others in taking.items() if others]) == 7
    for name, others in taking.items():
        status = found[name]["status"]
        assert [taken["name"] for taken in status.get("upstreams", ())] == others
        for taken in status.get("upstreams", ()):
            other = found[taken["name"]]["status"]
            assert taken["dagRunId"] == other["dagRunId"]
            submitted, ended = (datetime.fromisoformat(at) for at in (status["submitTime"], other["completionTime"]))
            assert submitted >= ended, f"{name} ran before {taken['name']} had ended"
        if others:
            waited = [seen for seen in watch.statuses(name) if seen.get("reason") == "WaitingForMLJob"]
            assert waited, installation.jobs.evidence(name)
            assert not any("dagRunId" in seen for seen in waited)


def test_second_model_version_repeats_the_predictions_and_everything_is_traceable_to_the_dataset(
    examples: tuple[Installation, Watch], data: Path
) -> None:
    jobs = examples[0].jobs
    found = jobs.until_finished(*MLJOBS, within=BOUND)
    outputs = {name: job["status"].get("outputs", {}) for name, job in found.items()}
    dataset = f"datasets/handwriting/{outputs['handwriting-dataset']['dataset_version']}"
    enriched = f"datasets/handwriting-enriched/{outputs['handwriting-features']['dataset_version']}"
    first = outputs["handwriting-train"]["model_version"]
    second = outputs["handwriting-train-again"]["model_version"]
    assert second != first
    assert outputs["handwriting-infer"]["model_version"] == first
    assert outputs["handwriting-infer"]["digits"] == [7]

    way = [f"models/handwriting/{first}", enriched, dataset]
    predictions = outputs["handwriting-predict"]["predictions_version"]
    assert lineage(data, "predictions", "handwriting", predictions)[1:] == way
    assert outputs["handwriting-predict"]["accuracy"] > 0.8
    for mljob, model in (("handwriting-days", first), ("handwriting-days-again", second)):
        way = [f"models/handwriting/{model}", enriched, dataset]
        for day in DAYS:
            version = predictions_version(data, day, f"{jobs.namespace}/{mljob}")
            assert lineage(data, "predictions", f"handwriting-{day}", version)[1:] == way


def test_commands_of_the_pages_about_examples_succeed(
    examples: tuple[Installation, Watch], stack: Stack, kubectl: Kubectl, tmp_path: Path
) -> None:
    jobs = examples[0].jobs
    jobs.until_finished(*MLJOBS, within=BOUND)
    shell = PageShell(stack, kubectl, jobs.namespace, tmp_path, BOUND)

    printed = {page.stem: shell.types(Runner.EXAMPLES, page) for page in EXAMPLE_PAGES}

    upstream = jobs.status("handwriting-train")["dagRunId"]
    assert f"handwriting-train {upstream}\n" in printed["chain"]
    assert "7/7" in printed["schedule"]
    assert '"random_forest":' in printed["README"]
    version = jobs.status("digits-train")["outputs"]["model_version"]
    assert jobs.until_phase(f"predict-{version}", "Succeeded", "Failed")["phase"] == "Succeeded"
    # The last page ends with an MLJob that was created again.
    jobs.kubectl("delete", "mljob", "handwriting-predict")


def in_order(phases: list[str | None]) -> bool:
    """Return whether no phase in ``phases`` is earlier than the phase before it. The order is None
    (no phase yet), Pending, Queued, Running, Succeeded.
    """
    ranks = {None: 0, "Pending": 1, "Queued": 2, "Running": 3, "Succeeded": 4}
    walked = [ranks[phase] for phase in phases]
    return walked == sorted(walked)
