"""What a task raises to skip itself or to fail for good, from where the Airflow that reads this has it."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
except ImportError:
    # Airflow 3.1
    from airflow.exceptions import AirflowFailException, AirflowSkipException

__all__ = ["AirflowFailException", "AirflowSkipException"]
