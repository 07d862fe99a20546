"""Reads DAGs with their params and outputs from DAG files, without Airflow's database. The outputs
are known only if the DAG is declared with ``mljob_dag``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mljob_airflow.compatibility import read_dag_files
from mljob_airflow.jobs.declaration import job_of
from mljob_airflow.jobs.param_schema import REQUIRED, ParamSpec, problems
from mljob_contract.job_type import JobType


@dataclass(frozen=True, slots=True)
class DagEntry:
    """The facts about a DAG that the author of an MLJob needs."""

    dag_id: str
    type: JobType = JobType.CUSTOM
    owner: str = ""
    description: str = ""
    params: tuple[ParamSpec, ...] = ()
    outputs: tuple[ParamSpec, ...] = ()
    is_job: bool = False
    """Whether the DAG was declared with ``mljob_dag``."""

    def param(self, name: str) -> ParamSpec | None:
        """Return the param with this name, or ``None`` if the DAG has no such param."""
        return next((spec for spec in self.params if spec.name == name), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The result of reading DAG files.

    Attributes:
        dags: The DAGs by DAG id.
        broken: The error of each file that Airflow can't import, usually a traceback, by path.
        is_configured: Whether the DAG files are those of the DAG bundles in Airflow's
            configuration.
    """

    dags: Mapping[str, DagEntry]
    broken: Mapping[str, str] = field(default_factory=dict)
    is_configured: bool = False


def load(paths: Iterable[Path]) -> Catalog:
    """Read the DAGs in files and folders.

    Args:
        paths: DAG files, and folders of DAG files. Without paths, the DAG bundles of Airflow's
            configuration are read.
    """
    dags: dict[str, DagEntry] = {}
    broken: dict[str, str] = {}
    named = list(paths)
    # Switch off Airflow's log, which would show the traceback of each broken file. The command
    # prints the errors of broken files itself. The variable has an effect only before Airflow is
    # imported.
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")
    # Airflow and DAG files may write to stdout while they are imported. The command's own stdout
    # may be a manifest, so these texts go to stderr.
    with contextlib.redirect_stdout(sys.stderr), _without_garbage_collection():
        for path in named or _configured_folders():
            bag = read_dag_files(path)
            broken |= {str(path / file) if path.is_dir() else str(path): why for file, why in bag.import_errors.items()}
            dags |= {dag_id: entry_of(dag) for dag_id, dag in bag.dags.items()}
    return Catalog(dict(sorted(dags.items())), broken, is_configured=not named)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Return a context manager that switches Python's garbage collector off during its block. With
    the garbage collector, the import of Airflow takes a fifth longer.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def entry_of(dag: Any) -> DagEntry:
    """Return a :class:`DagEntry` with the facts about an Airflow DAG."""
    job = job_of(dag)
    types = [kind for kind in JobType if kind.value in dag.tags and kind is not JobType.BACKFILL]
    return DagEntry(
        dag_id=dag.dag_id,
        type=types[0] if len(types) == 1 else JobType.CUSTOM,
        owner=dag.owner,
        description=dag.description or "",
        params=tuple(_params(dag.params)),
        outputs=job.outputs if job else (),
        is_job=job is not None,
    )


def _params(params: Any) -> Iterator[ParamSpec]:
    from airflow.sdk import Param

    not_set = Param().value
    for name in params:
        param = params.get_param(name)
        # A DAG that does not use mljob_dag marks a required param with a default that the param's
        # own schema refuses, for example None for a string.
        given = param.value is not not_set and not problems(param.value, param.schema)
        yield ParamSpec(name, dict(param.schema), param.description, param.value if given else REQUIRED)


def _configured_folders() -> list[Path]:
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    folders = []
    for bundle in DagBundlesManager().get_all_dag_bundles():
        bundle.initialize()
        folders.append(Path(bundle.path))
    return folders
