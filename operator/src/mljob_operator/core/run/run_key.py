"""The keys that identify MLJobs (namespace and name) and their runs (Airflow, DAG and run id)."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

Key = tuple[str, str]
"""The key of an MLJob: namespace and name."""

SETTINGS_AIRFLOW = ""
"""The name of the Airflow of the operator's settings. No AirflowInstance can have this name."""


def airflow_in_words(airflow: str) -> str:
    """Return a text that names an Airflow in a message, such as "AirflowInstance prod". ``airflow``
    is the name of an AirflowInstance, or ``SETTINGS_AIRFLOW``.
    """
    return f"AirflowInstance {airflow}" if airflow != SETTINGS_AIRFLOW else "the Airflow of the operator's settings"


class RunKey(NamedTuple):
    """Identifies a dag run or a backfill across all Airflows.

    The run id alone is not enough, because a ``TriggerDagRunOperator`` may give a child run the id
    of its parent.

    Attributes:
        airflow: The name of the AirflowInstance, or ``SETTINGS_AIRFLOW`` for the Airflow of the
            operator's settings.
        dag_id: The id of the DAG.
        run_id: The id of the dag run. For a backfill, the id that the operator puts into the
            backfill's conf (:mod:`mljob_contract.backfill_marker`).
    """

    airflow: str
    dag_id: str
    run_id: str


def in_any_of(airflows: Collection[str], dag_id: str, run_id: str) -> frozenset[RunKey]:
    """Return the possible keys of a run, one for each of ``airflows``, because the caller does not
    know which of these Airflows has the run.
    """
    return frozenset(RunKey(airflow, dag_id, run_id) for airflow in airflows)
