"""DAG files can't import the provider if Airflow is too old."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import mljob_airflow
from mljob_airflow import compatibility, policy, settings
from mljob_airflow.compatibility import UnsupportedAirflowError, assert_supported

SOURCE = Path(mljob_airflow.__file__).parents[1]
FOR_DAG_FILES = [home for home in mljob_airflow._MODULES.values() if home.startswith("mljob_airflow.")]


@pytest.mark.parametrize("version", ["3.0.6", "2.11.0"])
def test_an_airflow_that_is_too_old_is_refused_with_the_way_out(version: str) -> None:
    with pytest.raises(
        UnsupportedAirflowError,
        match=f"works with Airflow 3.1 to 3.3, and this is Airflow {version}: upgrade Airflow, or",
    ):
        assert_supported(version)


@pytest.mark.parametrize("version", ["3.1.0", "3.1.0rc1", "3.3.2", "3.4.0.dev0", "4.0.0", None])
def test_a_newer_airflow_and_no_airflow_are_accepted(version: str | None) -> None:
    assert_supported(version)


@pytest.fixture
def beside_an_old_airflow(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A function that runs Python code in a new process, in which Airflow 3.0.6 seems to be
    installed.
    """
    metadata = tmp_path / "apache_airflow_core-3.0.6.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.4\nName: apache-airflow-core\nVersion: 3.0.6\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SOURCE)])}

    def run(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize(
    "program",
    [
        *(f"import {module}" for module in FOR_DAG_FILES),
        *(f"from mljob_airflow import {name}" for name in mljob_airflow._MODULES if name != "JobType"),
        "import mljob_airflow.dags.mljob_cancel",
        "import mljob_airflow.cancellation.task",
    ],
)
def test_every_module_for_dag_files_refuses_an_old_airflow(
    program: str, beside_an_old_airflow: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    done = beside_an_old_airflow(program)
    assert done.returncode == 1
    *_, said = done.stderr.strip().splitlines()
    assert "UnsupportedAirflowError: airflow-provider-mljob works with Airflow 3.1 to 3.3, and this is" in said


def test_the_modules_that_airflow_loads_at_its_start_accept_an_old_airflow(
    beside_an_old_airflow: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = beside_an_old_airflow("import mljob_airflow.policy, mljob_airflow.provider_info as p; p.get_provider_info()")
    assert done.returncode == 0, done.stderr


def test_the_cluster_policy_does_nothing_on_an_old_airflow_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "instrument_all_dags", lambda: True)
    monkeypatch.setattr(policy, "installed_version", lambda: "3.0.6")
    policy._is_supported.cache_clear()
    try:
        for _ in range(2):
            policy.task_policy(task := SimpleNamespace())
            assert vars(task) == {}
    finally:
        policy._is_supported.cache_clear()
    [said] = caplog.messages
    assert "this is Airflow 3.0.6" in said


def test_the_version_is_read_without_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"apache-airflow": "2.11.0"}

    def version(distribution: str) -> str:
        if distribution not in versions:
            raise metadata.PackageNotFoundError(distribution)
        return versions[distribution]

    monkeypatch.setattr(metadata, "version", version)
    read = compatibility.installed_version.__wrapped__
    assert read() == "2.11.0"
    versions["apache-airflow-core"] = "3.3.2"
    assert read() == "3.3.2"
    versions.clear()
    assert read() is None
