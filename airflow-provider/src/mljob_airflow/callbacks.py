"""The callbacks by their earlier import path. New DAG files import from ``mljob_airflow``."""

from __future__ import annotations

from mljob_airflow.events.callbacks import mljob_callbacks, mljob_of

__all__ = ["mljob_callbacks", "mljob_of"]
