"""Declares jobs, and describes DAGs for the command ``mljob-airflow``. A job is a DAG with typed
params and outputs.

These modules declare jobs:

- :mod:`.declaration` makes the DAG of a declared job.
- :mod:`.param_schema` turns the job's pydantic models into the JSON Schemas that Airflow stores.
- :mod:`.value_hints` gives hints on how to write a value that a schema has refused.

These modules are the parts of the command ``mljob-airflow``:

- :mod:`.catalog` reads the DAGs in DAG files.
- :mod:`.explanations` describes a DAG and its params.
- :mod:`.manifests` writes the manifest of an MLJob for a DAG.
- :mod:`.import_errors` shortens the error of a DAG file that Airflow can't import.
- :mod:`.suggestions` suggests names for a name that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mljob_airflow.jobs.declaration import Job

__all__ = ["Job"]


def __getattr__(name: str) -> Any:
    # Imported here, because the import of another module of this package must not import the
    # declaration too.
    if name != "Job":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mljob_airflow.jobs.declaration import Job

    return Job
