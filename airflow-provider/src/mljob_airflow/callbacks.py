"""Keeps ``mljob_airflow.callbacks``, the earlier import path of the callbacks, working. New DAG
files import the callbacks from ``mljob_airflow``.
"""

from __future__ import annotations

from mljob_airflow.events.callbacks import mljob_callbacks, mljob_of

__all__ = ["mljob_callbacks", "mljob_of"]
