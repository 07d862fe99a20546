"""A DAG file with an import error. The file has its own folder, so that the folder of the other
test DAGs can be loaded without an import error.
"""

from __future__ import annotations

from airflow.sdk import DAG

with DAG("parity_import_error", schedule=None):
    raise ImportError("meant to fail: a module that this DAG needs is not installed")
