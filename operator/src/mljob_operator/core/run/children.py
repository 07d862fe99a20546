"""Runs that a cancelled run's tasks had started (TriggerDagRunOperator): Airflow lets them go on, so somebody has to say so, or end them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mljob_contract.run_id import RunId

from .run_key import RunKey

MAX_CHILDREN = 50
"""Claims of tasks that are looked at for one cancelled run, those of its children's tasks included."""
MAX_NAMED = 5
"""Runs that a message names."""


@dataclass(frozen=True, slots=True)
class Child:
    """A run that a task of another run has started, and that has not ended.

    Attributes:
        by_task: Whether Airflow says that a task has started it. What a task says of its children is a claim.
    """

    dag_id: str
    run_id: str
    by_task: bool


def may_be_ended(child: Child, parent: RunKey, prefix: str, *, allowed: bool) -> bool:
    """Whether a child may be cancelled for its parent: a task claims it, and may claim whatever it likes.

    So the DAG is one that the MLJob's namespace may run (``allowed``), Airflow itself says that a task started the run, and the run is no other MLJob's.

    Args:
        child: The run.
        parent: The run whose task claims it.
        prefix: Of our dag run ids.
        allowed: Whether the parent's MLJob may run the child's DAG.
    """
    run = RunId.parse(child.run_id)
    ours = run is not None and run.prefix == prefix
    same_id = child.run_id == parent.run_id and child.dag_id != parent.dag_id
    return allowed and child.by_task and (not ours or same_id)


def in_words(children: Sequence[Child]) -> str:
    """Runs by their names, for people."""
    named = [f"{child.run_id} of DAG {child.dag_id}" for child in children[:MAX_NAMED]]
    more = f" and {len(children) - MAX_NAMED} more" if len(children) > MAX_NAMED else ""
    return ", ".join(named) + more
