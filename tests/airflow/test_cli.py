from __future__ import annotations

import contextlib
import gc
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mljob_airflow.cli import main
from mljob_airflow.compatibility import read_dag_files
from mljob_airflow.jobs import catalog
from mljob_airflow.jobs.param_schema import problems
from mljob_contract.mljob import MLJobSpec
from tests.airflow.versions import DagSerialization, validate

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "airflow-provider" / "example_dags"
COMMAND = Path(sys.executable).with_name("mljob-airflow")

REQUIRED = """
from airflow.sdk import task
from pydantic import BaseModel
from mljob_airflow import JobType, mljob_dag

class Params(BaseModel):
    source: str
    rows: int = 5

with mljob_dag("team.import", type=JobType.CUSTOM, params=Params, owner="data") as job:
    @task
    def copy(): print(job.params().source)
    copy()
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, dags: Path | None = EXAMPLES) -> Done:
    # Importing Airflow in a new process takes seconds.
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        returncode = main([*arguments, *(["--dags", str(dags)] if dags else [])])
    return Done(returncode, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def all_manifests() -> dict[str, Any]:
    done = run("manifests", "--all", "--namespace", "team-a")
    assert done.returncode == 0, done.stderr
    return {document["spec"]["dagId"]: document for document in yaml.safe_load_all(done.stdout)}


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    file = tmp_path / "import_dag.py"
    file.write_text(REQUIRED)
    return file


def test_every_job_has_a_manifest_that_is_a_valid_mljob(all_manifests: dict[str, Any]) -> None:
    assert {dag_id: document["spec"]["type"] for dag_id, document in all_manifests.items()}.items() >= {
        ("train_model", "Training"),
        ("generate_dataset", "DatasetGeneration"),
        ("enrich_dataset", "Enrichment"),
        ("predict", "Prediction"),
        ("infer", "Inference"),
    }
    for document in all_manifests.values():
        assert document["metadata"] == {"name": document["spec"]["dagId"].replace("_", "-"), "namespace": "team-a"}
        MLJobSpec.model_validate(document["spec"])


def test_airflow_accepts_the_conf_of_a_generated_manifest(all_manifests: dict[str, Any]) -> None:
    bag = read_dag_files(EXAMPLES)
    for dag_id, document in all_manifests.items():
        stored = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[dag_id]))
        validate(stored, document["spec"].get("conf"))


def test_set_puts_a_value_into_the_conf() -> None:
    done = run(
        "manifests", "--dag", "train_model", "--name", "quick", "--set", "epochs=3", "--set", "learning_rate=1e-4"
    )
    document = yaml.safe_load(done.stdout)
    assert document["metadata"] == {"name": "quick"}
    assert document["spec"] == {
        "type": "Training",
        "dagId": "train_model",
        "conf": {"epochs": 3, "learning_rate": 0.0001},
    }
    assert "## integer, 1 to 1000, default 20\n    epochs: 3\n" in done.stdout
    assert "# model_id: digits\n" in done.stdout
    assert "accuracy <number>: Share of the test images that it reads." in done.stdout


def test_a_plain_dag_has_a_manifest_too() -> None:
    done = run("manifests", "--dag", "daily_statistics", "--set", "rows=10")
    assert yaml.safe_load(done.stdout)["spec"] == {"type": "Custom", "dagId": "daily_statistics", "conf": {"rows": 10}}
    assert "    ## Images of a day.\n    ## integer, 1 to 1000000, default 500\n    rows: 10\n" in done.stdout


def test_a_list_is_set_as_json() -> None:
    done = run("manifests", "--dag", "enrich_dataset", "--set", 'families=["clusters"]')
    assert yaml.safe_load(done.stdout)["spec"]["conf"] == {"families": ["clusters"]}
    assert "## []string, at least 1 items, all different, each one of components, clusters, statistics" in done.stdout


def test_a_required_param_is_null_until_it_is_filled_in(dag_file: Path) -> None:
    done = run("manifests", "--dag", "team.import", dags=dag_file)
    document = yaml.safe_load(done.stdout)
    assert document["spec"]["conf"] == {"source": None}
    assert problems(None, {"type": "string"})
    assert "note: team.import needs a value for source: fill it in, or use --set" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["manifests", "--dag", "train"], "no DAG 'train': did you mean 'train_model'?"),
        (["manifests", "--dag", "train_model", "--set", "epoch=3"], "no param 'epoch': did you mean 'epochs'?"),
        (["manifests", "--dag", "train_model", "--set", "epochs=0"], "epochs=0: 0 is less than the minimum of 1"),
        (["manifests", "--all", "--name", "x"], "--name and --set work with a single DAG"),
        (["explain", "train_modle.epochs"], "no DAG 'train_modle': did you mean 'train_model'?"),
        (["explain", "zzz.epochs"], "no DAG 'zzz': there are daily_predictions, daily_statistics"),
        (["manifests", "--dag", "train_model", "--set", "epochs=2h"], "in seconds 7200 for 2h"),
        (["explain", "train_model.epoch"], "train_model has no param 'epoch': did you mean 'epochs'?"),
    ],
)
def test_invalid_arguments_exit_with_2_and_a_suggestion(arguments: str, complaint: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_explain_explains_a_param(dag_file: Path) -> None:
    done = run("explain", "train_model.learning_rate")
    assert done.stdout.startswith("DAG:      train_model\nPARAM:    learning_rate <number>\n\nDESCRIPTION:\n")
    assert "    more than 0\n    default 0.001\n" in done.stdout
    assert "  epochs\t<integer>\n    1 to 1000, default 20\n    Passes over" in run("explain", "train_model").stdout
    assert run("explain", "team.import.source", dags=dag_file).stdout.endswith("PARAM:    source <string> -required-\n")


def test_list_shows_every_dag(dag_file: Path) -> None:
    rows = [line.split() for line in run("list").stdout.splitlines()]
    assert rows[0] == ["DAG", "TYPE", "OWNER", "PARAMS", "OUTPUTS"]
    assert [row[:3] for row in rows if row[0] == "predict"] == [["predict", "Prediction", "ml-platform"]]
    assert run("list", dags=dag_file).stdout.splitlines()[1].split() == [
        "team.import",
        "Custom",
        "data",
        "source*,rows",
    ]


def test_a_file_that_airflow_cannot_import_is_a_warning_and_fails_the_command(tmp_path: Path, dag_file: Path) -> None:
    (tmp_path / "broken_dag.py").write_text("from airflow.sdk import DAG, nothing_of_that_name\n")
    done = run("list", dags=tmp_path)
    assert done.returncode == 1
    assert (
        f"warning: Airflow can't import {tmp_path}/broken_dag.py: line 1: ImportError: cannot import name"
        in done.stderr
    )
    # Airflow's own log lines come before the warning, because Airflow configures its own logging.
    assert "Traceback" not in done.stderr.partition("warning: ")[2]
    assert "team.import" in done.stdout


def test_a_misspelt_id_with_dots_gets_a_suggestion(dag_file: Path) -> None:
    assert (
        "no DAG 'team.imprt': did you mean 'team.import'?" in run("explain", "team.imprt.source", dags=dag_file).stderr
    )


def test_a_message_names_only_some_of_many_dags(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(
        "from airflow.sdk import DAG\nfor n in range(30):\n    globals()[f'd{n}'] = DAG(f'd{n:02}')\n"
    )
    done = run("explain", "zzzzzz", dags=tmp_path)
    assert done.stderr.endswith("d18, d19 and 10 more, which `mljob-airflow list` shows\n")


def test_the_option_traceback_shows_the_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken_dag.py").write_text("from airflow.sdk import DAG\n1 / 0\n")
    done = run("list", "--traceback", dags=tmp_path)
    assert "broken_dag.py: \n    Traceback (most recent call last)" in done.stderr


def test_the_console_script_reports_a_broken_file_once(tmp_path: Path) -> None:
    (tmp_path / "broken_dag.py").write_text("from airflow.sdk import DAG\n1 / 0\n")
    done = subprocess.run([COMMAND, "list", "--dags", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if "broken_dag.py" in line or "ZeroDivisionError" in line]
    assert told == [
        f"warning: Airflow can't import {tmp_path}/broken_dag.py: line 2: ZeroDivisionError: division by zero"
    ]


def test_the_garbage_collector_is_enabled_again_after_reading_dags(dag_file: Path) -> None:
    assert gc.isenabled()
    run("list", dags=dag_file)
    assert gc.isenabled()


def test_without_paths_the_configured_bundles_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dag_file: Path
) -> None:
    bundle = (
        '[{"name": "b", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {"path": "%s"}}]'
    )
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", bundle % tmp_path)
    done = run("list", dags=None)
    assert (done.returncode, "team.import" in done.stdout) == (0, True), done.stderr


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the only DAG bundle in Airflow's configuration."""
    monkeypatch.setattr(catalog, "_configured_folders", lambda: [tmp_path])
    return tmp_path


def test_a_dag_that_is_not_in_airflows_configuration_may_be_elsewhere(configured: Path) -> None:
    lines = run("explain", "team.import", dags=None).stderr.splitlines()
    assert lines[-2:] == [
        "error: there is no DAG 'team' in the DAG bundles of Airflow's configuration: there are no DAGs",
        "To read other DAGs, name a DAG file or a folder with --dags",
    ]
    (configured / "job.py").write_text(REQUIRED)
    lines = run("explain", "team.imprt", dags=None).stderr.splitlines()
    assert lines[-2:] == [
        "error: there is no DAG 'team.imprt' in the DAG bundles of Airflow's configuration: did you mean 'team.import'?",
        "To read other DAGs, name a DAG file or a folder with --dags",
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("explain", "train_wine"), "there is no DAG 'train_wine': there are no DAGs"),
        (("manifests", "--dag", "train_wine"), "there is no DAG 'train_wine': there are no DAGs"),
        (("manifests", "--all"), "no DAG is declared with mljob_dag: there are no DAGs"),
    ],
)
def test_a_dag_that_is_not_found_may_be_in_a_file_that_airflow_cannot_import(
    arguments: tuple[str, ...], error: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad_wine.py"
    file.write_text("from airflow.sdk import DAG\n1 / 0\n")
    done = run(*arguments, dags=file)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        f"error: {error}",
        "DAGs may be missing, because Airflow can't import a file: see the warnings above",
    ]


def test_the_console_script_prints_nothing_but_the_manifest() -> None:
    done = subprocess.run(
        [COMMAND, "manifests", "--dag", "predict", "--dags", EXAMPLES], capture_output=True, text=True, check=True
    )
    assert yaml.safe_load(done.stdout)["spec"] == {"type": "Prediction", "dagId": "predict"}
    assert done.stdout.splitlines()[0] == "## Reads handwritten digits with a trained model"
