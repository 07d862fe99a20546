"""Lets this package work with Airflow 3.1 to 3.3, in which some classes are in different modules.
Importing this module does not import Airflow.
"""

from __future__ import annotations

import inspect
import os
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from mljob_contract.airflow_versions import OLDEST, SUPPORTED, version_number

WITHHELD = (
    "The text is withheld: mljob-airflow can't mask secrets, because this version of Airflow has no "
    "airflow.sdk.log.redact. The task's log has the text. Update mljob-airflow."
)
"""The text in place of a text that can't be masked."""


class UnsupportedAirflowError(ImportError):
    """The installed Airflow is older than the oldest supported version."""


@cache
def installed_version() -> str | None:
    """Return the version of the installed Airflow, or ``None`` if Airflow is not installed. Airflow
    is not imported.
    """
    # Airflow 3 is the distribution apache-airflow-core. In Airflow 2, the distribution
    # apache-airflow has the code.
    for distribution in ("apache-airflow-core", "apache-airflow"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def assert_supported(version: str | None) -> None:
    """Raise an error if Airflow is too old. Without Airflow there is no error, because training
    code also runs without Airflow.

    A module that Airflow loads when it starts must not call this function during the import,
    because the error would stop Airflow.

    Args:
        version: The version of Airflow, from :func:`installed_version`.

    Raises:
        UnsupportedAirflowError: Airflow is too old.
    """
    number = version_number(version or "")
    if number is not None and number < OLDEST:
        raise UnsupportedAirflowError(
            f"airflow-provider-mljob works with {SUPPORTED}, and this is Airflow {version}: upgrade Airflow, or uninstall "
            "airflow-provider-mljob. MLJobs also run DAGs that don't use airflow-provider-mljob."
        )


def fail_exception() -> type[Exception]:
    """Return Airflow's class ``AirflowFailException``, which fails a task without a retry."""
    return _exception("AirflowFailException")


def skip_exception() -> type[Exception]:
    """Return Airflow's class ``AirflowSkipException``, which skips the task."""
    return _exception("AirflowSkipException")


def read_dag_files(path: Path) -> Any:
    """Read a DAG file or a folder of DAG files. Return Airflow's ``DagBag``, whose
    ``import_errors`` has the error of each file that Airflow can't import.

    Like Airflow's DAG processor, this function adds the folder, or the file's folder, to
    ``sys.path``.
    """
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        # In Airflow 3.1, the class is in another module.
        from airflow.models.dagbag import DagBag

    folder = path if path.is_dir() else path.parent
    if str(folder) not in sys.path:
        # A DAG file can import modules from its folder, because the DAG processor adds the folder
        # to sys.path. This process does the same.
        sys.path.append(str(folder))
    arguments = {"bundle_path": folder, "bundle_name": folder.name, "include_examples": False, "load_op_links": False}
    parameters = inspect.signature(DagBag.__init__).parameters
    return DagBag(path, **{name: value for name, value in arguments.items() if name in parameters})


def masked(text: str) -> str:
    """Return ``text`` with ``***`` in place of the secrets that this process has read, such as
    passwords of Connections.

    Without Airflow, return ``text`` itself. Return ``WITHHELD`` if this version of Airflow can't
    mask secrets.
    """
    try:
        from airflow.sdk.log import redact
    except ImportError:
        # airflow.sdk.log is not part of Airflow's public interface, and may move. A process without
        # Airflow has no secrets of Airflow.
        return text if installed_version() is None else WITHHELD
    return str(redact(text))


def _exception(name: str) -> type[Exception]:
    try:
        from airflow.sdk import exceptions

        found: type[Exception] = getattr(exceptions, name)
    except AttributeError:
        # In Airflow 3.1, the exceptions are in another module.
        from airflow import exceptions as older

        found = getattr(older, name)
    return found
