"""A DAG that schedules nothing more: tasks that run end, no other starts, and nobody tells of it."""

from __future__ import annotations

from enum import StrEnum


class Halt(StrEnum):
    """Why a DAG schedules nothing; the reason in the status of an MLJob whose run is in progress."""

    PAUSED = "DagPaused"
    STALE = "DagStale"


def told(halt: Halt, dag_id: str, what: str) -> str:
    """What is the matter and what to do about it, for people; ``what`` is in progress, a run or a backfill."""
    if halt is Halt.PAUSED:
        return f"DAG {dag_id} is paused: running tasks of the {what} finish, and no other task starts. Unpause the DAG in Airflow's UI."
    return (
        f"Airflow finds DAG {dag_id} in no DAG file any more: running tasks of the {what} finish, and no other task starts. Put the DAG back into its "
        "file, or cancel the MLJob."
    )
