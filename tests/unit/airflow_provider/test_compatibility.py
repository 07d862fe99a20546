"""An Airflow that is too old is refused in words; one that is newer than tested, or not there, is not."""

from __future__ import annotations

import pytest

import mljob_airflow
from mljob_airflow import compatibility
from mljob_airflow.compatibility import UnsupportedAirflowError, assert_supported


@pytest.mark.parametrize("version", ["3.0.6", "2.11.0"])
def test_what_is_too_old_is_refused_with_the_way_out(version):
    with pytest.raises(
        UnsupportedAirflowError,
        match=f"works with Airflow 3.1 to 3.3, and this is Airflow {version}: upgrade Airflow, or",
    ):
        assert_supported(version)


@pytest.mark.parametrize("version", ["3.1.0", "3.1.0rc1", "3.3.2", "3.4.0.dev0", "4.0.0", None])
def test_what_is_not_too_old_is_let_through(version):
    assert_supported(version)


def test_a_dag_file_that_uses_the_package_on_it_does_not_import(monkeypatch):
    monkeypatch.setattr(compatibility, "installed_version", lambda: "3.0.6")
    with pytest.raises(ImportError, match=r"this is Airflow 3\.0\.6"):
        mljob_airflow.mljob_callbacks  # noqa: B018


def test_the_version_is_read_without_airflow(monkeypatch):
    versions = {"apache-airflow": "2.11.0"}

    def version(distribution):
        if distribution not in versions:
            raise compatibility.metadata.PackageNotFoundError(distribution)
        return versions[distribution]

    monkeypatch.setattr(compatibility.metadata, "version", version)
    assert compatibility.installed_version() == "2.11.0"
    versions["apache-airflow-core"] = "3.3.2"
    assert compatibility.installed_version() == "3.3.2"
    versions.clear()
    assert compatibility.installed_version() is None
