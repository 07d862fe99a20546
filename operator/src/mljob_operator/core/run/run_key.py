"""The keys of MLJobs and of runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

Key = tuple[str, str]
"""The key of an MLJob: namespace and name."""

SETTINGS_AIRFLOW = ""
"""The name of the Airflow of the operator's settings. No AirflowInstance can have this name."""


class RunKey(NamedTuple):
    """The key of a dag run among all runs of all Airflows.

    Airflow's run ids are unique within a DAG only: a ``TriggerDagRunOperator`` with
    ``trigger_run_id="{{ run_id }}"`` gives a child run the id of its parent. So a fact belongs to a
    run only if all three parts of the key match.

    Attributes:
        airflow: The name of the AirflowInstance, or ``SETTINGS_AIRFLOW``.
        dag_id: The id of the DAG.
        run_id: The id of the dag run. For a backfill, the id in the marker of its conf
            (:mod:`mljob_contract.backfill_marker`).
    """

    airflow: str
    dag_id: str
    run_id: str


def in_any_of(airflows: Collection[str], dag_id: str, run_id: str) -> frozenset[RunKey]:
    """Return the keys of the runs that an event may be about, one for each Airflow that may have
    sent the event.
    """
    return frozenset(RunKey(airflow, dag_id, run_id) for airflow in airflows)
