"""Imports two exceptions from the modules in which the installed version of Airflow has them. A
task raises AirflowSkipException to become skipped, and AirflowFailException to fail without a
retry.
"""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
except ImportError:
    # Airflow 3.1
    from airflow.exceptions import AirflowFailException, AirflowSkipException

__all__ = ["AirflowFailException", "AirflowSkipException"]
