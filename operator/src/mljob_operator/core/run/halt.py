"""A DAG is halted if the DAG is paused, or if no DAG file contains the DAG any more. Airflow then
schedules no further task of the DAG, and tasks that are already running finish. No Kafka event
reports that a DAG is halted.
"""

from __future__ import annotations

from enum import StrEnum


class Halt(StrEnum):
    """Why a DAG is halted. The value is the reason in the status of an MLJob that has a run of the
    DAG in progress.
    """

    PAUSED = "DagPaused"
    STALE = "DagStale"


def message_of(halt: Halt, dag_id: str, noun: str) -> str:
    """Return the message for a halted DAG: the cause, and what to do. ``noun`` is "run" or
    "backfill".
    """
    if halt is Halt.PAUSED:
        return f"DAG {dag_id} is paused: tasks of the {noun} that run or are queued finish, and no other task starts. Unpause the DAG in Airflow's UI."
    return (
        f"Airflow finds DAG {dag_id} in no DAG file any more: tasks of the {noun} that run or are queued finish, and no other task starts. Put the DAG back into its "
        "file, or cancel the MLJob."
    )
