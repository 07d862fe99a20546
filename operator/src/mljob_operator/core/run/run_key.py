"""Which MLJob is meant, and which run."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

Key = tuple[str, str]
"""An MLJob: namespace and name."""

SETTINGS_AIRFLOW = ""
"""The name of the Airflow of the operator's settings; no AirflowInstance can have it."""


class RunKey(NamedTuple):
    """A dag run, among all runs of all Airflows.

    Airflow's run ids are unique within a DAG only: a ``TriggerDagRunOperator`` with ``trigger_run_id="{{ run_id }}"`` gives a child run the id of
    its parent. Whatever is said of a run counts for the run with all three.

    Attributes:
        airflow: The Airflow, by the name of its AirflowInstance; ``SETTINGS_AIRFLOW``: that of the operator's settings.
        dag_id: The DAG.
        run_id: The dag run's id; of a backfill, the id in its marker.
    """

    airflow: str
    dag_id: str
    run_id: str


def in_any_of(airflows: Collection[str], dag_id: str, run_id: str) -> frozenset[RunKey]:
    """The runs that an event may be about, where several Airflows may have sent it."""
    return frozenset(RunKey(airflow, dag_id, run_id) for airflow in airflows)
