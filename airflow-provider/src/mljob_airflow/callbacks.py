"""The former home of :mod:`mljob_airflow.events.callbacks`, for DAG files that import from here. Import from ``mljob_airflow`` instead."""

from __future__ import annotations

from mljob_airflow.events.callbacks import mljob_callbacks, mljob_of

__all__ = ["mljob_callbacks", "mljob_of"]
