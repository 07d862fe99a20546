"""A DAG file that can't be imported. The file has its own folder, because an import error is
visible to all users of a folder.
"""

from __future__ import annotations

from airflow.sdk import DAG

with DAG("parity_import_error", schedule=None):
    raise ImportError("meant to fail: a module that this DAG needs is not installed")
