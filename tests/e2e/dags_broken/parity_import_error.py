"""A DAG file that can't be imported. The file has a folder of its own, so that an Airflow that
reads only the folder ``dags`` has no import error.
"""

from __future__ import annotations

from airflow.sdk import DAG

with DAG("parity_import_error", schedule=None):
    raise ImportError("meant to fail: a module that this DAG needs is not installed")
