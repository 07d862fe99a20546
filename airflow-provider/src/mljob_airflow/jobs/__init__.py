"""Jobs: DAGs that are declared with typed params and outputs, and what the command line says about
DAGs.

:mod:`.declaration` makes a DAG of a declared job. :mod:`.param_schema` turns the job's pydantic
models into the JSON Schemas that Airflow stores, and checks values against them;
:mod:`.value_hints` says how to write a value that was refused.

The command ``mljob-airflow`` reads DAG files into a :mod:`.catalog`. From its entries
:mod:`.explanations` describes a DAG and its params, and :mod:`.manifests` writes an MLJob to fill
in. :mod:`.import_errors` shortens the traceback of a DAG file that Airflow can't import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mljob_airflow.jobs.declaration import Job

__all__ = ["Job"]


def __getattr__(name: str) -> Any:
    # Late: the modules of this package need no declaration to be imported before them.
    if name != "Job":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mljob_airflow.jobs.declaration import Job

    return Job
