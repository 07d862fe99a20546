"""The versions of Airflow that this package works with, 3.1 to 3.3, and all that differs between them for it.

Two classes have moved since 3.1; its REST API has no cursors, which needs no version to be known (:mod:`.paging` asks for
both ways of paging at once). Airflow is imported when a function is called, as everywhere in this package.
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


class UnsupportedAirflowError(ImportError):
    """This Airflow is too old for this package."""


@cache
def installed_version() -> str | None:
    """The version of Airflow in this environment, without importing it; ``None`` where there is none."""
    # Airflow 2 is one distribution; from 3.0 on apache-airflow only names the parts.
    for distribution in ("apache-airflow-core", "apache-airflow"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def assert_supported(version: str | None) -> None:
    """Let through what is supported, and an environment without Airflow: training code runs there too.

    Called with :func:`installed_version` by each module that a DAG file may import, when it is imported: whichever comes first refuses. Not by
    what Airflow loads when it starts (:mod:`.policy`, :mod:`.provider_info` and what these import), where it would end Airflow itself.

    Raises:
        UnsupportedAirflowError: This Airflow is too old. In a DAG file it becomes an import error that Airflow's UI shows.
    """
    number = version_number(version or "")
    if number is not None and number < OLDEST:
        raise UnsupportedAirflowError(
            f"airflow-provider-mljob works with {SUPPORTED}, and this is Airflow {version}: upgrade Airflow, or uninstall "
            "airflow-provider-mljob. MLJobs of DAGs that know nothing of it run all the same."
        )


def fail_exception() -> type[Exception]:
    """``AirflowFailException``, which ends a task without another try."""
    return _exception("AirflowFailException")


def skip_exception() -> type[Exception]:
    """``AirflowSkipException``, with which a task skips itself."""
    return _exception("AirflowSkipException")


def read_dag_files(path: Path) -> Any:
    """The ``DagBag`` of a DAG file, or of a folder of them. What does not import is in its ``import_errors``, by file."""
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        # Airflow 3.1
        from airflow.models.dagbag import DagBag

    folder = path if path.is_dir() else path.parent
    if str(folder) not in sys.path:
        # As the DAG processor does, for files that import others beside them.
        sys.path.append(str(folder))
    wanted = {"bundle_path": folder, "bundle_name": folder.name, "include_examples": False, "load_op_links": False}
    known = inspect.signature(DagBag.__init__).parameters
    return DagBag(path, **{name: value for name, value in wanted.items() if name in known})


def masked(text: str) -> str:
    """A text with ``***`` for what Airflow's secrets masker knows in this process: passwords of Connections that were used, Variables with sensitive
    names, and what the DAG gave to ``mask_secret``. Airflow masks its logs by itself, and nothing else.
    """
    try:
        from airflow.sdk.log import redact
    except ImportError:
        # Airflow keeps no promise about where this is.
        return text
    return str(redact(text))


def _exception(name: str) -> type[Exception]:
    try:
        from airflow.sdk import exceptions

        found: type[Exception] = getattr(exceptions, name)
    except AttributeError:
        # Airflow 3.1
        from airflow import exceptions as older

        found = getattr(older, name)
    return found
