"""A DAG is halted if the DAG is paused, or if no DAG file contains the DAG any more. Airflow then
schedules no further task of the DAG. No Kafka event reports a halt.
"""

from __future__ import annotations

from enum import StrEnum


class Halt(StrEnum):
    """Why a DAG is halted. The value is the reason in the status of an MLJob."""

    PAUSED = "DagPaused"
    STALE = "DagStale"


def message_of(halt: Halt, dag_id: str, noun: str) -> str:
    """Return the cause of the halt, and what to do. ``noun`` is "run" or "backfill"."""
    if halt is Halt.PAUSED:
        return f"DAG {dag_id} is paused: tasks of the {noun} that run or are queued finish, and no other task starts. Unpause the DAG in Airflow's UI."
    return (
        f"Airflow finds DAG {dag_id} in no DAG file any more: tasks of the {noun} that run or are queued finish, and no other task starts. Put the DAG back into its "
        "file, or cancel the MLJob."
    )
