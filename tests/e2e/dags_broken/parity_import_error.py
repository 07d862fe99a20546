"""A DAG file with an import error. Only an Airflow that reads the folder ``dags_broken`` has the
error.
"""

from __future__ import annotations

from airflow.sdk import DAG

with DAG("parity_import_error", schedule=None):
    raise ImportError("meant to fail: a module that this DAG needs is not installed")
