"""An Airflow DAG file that can't be imported. In a folder of its own: an import error shows for all who use the folder."""

from __future__ import annotations

from airflow.sdk import DAG

with DAG("parity_import_error", schedule=None):
    raise ImportError("meant to fail: a module that this DAG needs is not installed")
