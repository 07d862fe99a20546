"""A DAG file that can't be imported. The file has its own folder, so that the import error does not
occur wherever the folder ``dags`` is used.
"""

from __future__ import annotations

from airflow.sdk import DAG

with DAG("parity_import_error", schedule=None):
    raise ImportError("meant to fail: a module that this DAG needs is not installed")
