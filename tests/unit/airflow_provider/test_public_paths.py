"""Each public name can be imported from the package ``mljob_airflow``. A name that has moved can
also be imported from its former module.
"""

from __future__ import annotations

from importlib import import_module

import pytest

import mljob_airflow


@pytest.mark.parametrize("name", mljob_airflow.__all__)
def test_each_public_name_is_imported_from_the_package(name: str) -> None:
    assert getattr(mljob_airflow, name).__name__ == name


@pytest.mark.parametrize(
    ("path", "name", "home"),
    [
        ("mljob_airflow.jobs", "Job", "mljob_airflow.jobs.declaration"),
    ],
)
def test_an_earlier_path_has_the_same_object(path: str, name: str, home: str) -> None:
    assert getattr(import_module(path), name) is getattr(import_module(home), name)


@pytest.mark.parametrize("module", ["mljob_airflow", "mljob_airflow.jobs"])
def test_an_unknown_name_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        import_module(module).nothing  # noqa: B018
