"""The keys of MLJobs and of runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

Key = tuple[str, str]
"""The key of an MLJob: namespace and name."""

SETTINGS_AIRFLOW = ""
"""The name of the Airflow of the operator's settings; no AirflowInstance can have it."""


class RunKey(NamedTuple):
    """The key of a dag run among all runs of all Airflows.

    Airflow's run ids are unique within a DAG only: a ``TriggerDagRunOperator`` with
    ``trigger_run_id="{{ run_id }}"`` gives a child run the id of its parent. So a fact belongs to a
    run only if all three parts of the key match.

    Attributes:
        airflow: The name of the AirflowInstance; ``SETTINGS_AIRFLOW``: the Airflow of the
            operator's settings.
        dag_id: The DAG's id.
        run_id: The dag run's id; for a backfill, the id in its marker.
    """

    airflow: str
    dag_id: str
    run_id: str


def in_any_of(airflows: Collection[str], dag_id: str, run_id: str) -> frozenset[RunKey]:
    """The keys of the runs that an event may be about, if each of several Airflows may have sent
    it.
    """
    return frozenset(RunKey(airflow, dag_id, run_id) for airflow in airflows)
