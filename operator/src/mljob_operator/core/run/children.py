"""Children are runs that tasks of a cancelled run have started with TriggerDagRunOperator. Airflow
does not cancel children.

If ``spec.cancellation.children`` is Cancel, the operator cancels the children for which
:func:`may_be_cancelled` returns True. The Event ChildrenCancelled reports these children. With any
value of the field, the Event ChildrenLeft reports the active children that were not cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence

from mljob_contract.run_id import RunId

from ..frozen import frozen
from .run_key import RunKey

MAX_CHILDREN = 50
"""The maximum number of possible children that are checked for one cancelled run, including
children of its children.
"""
MAX_NAMED = 5
"""The maximum number of runs that a message names."""


@frozen
class Child:
    """An active run that a task of another run claims to have started.

    Attributes:
        by_task: Whether Airflow has recorded that some task started the run. The record does not
            name the task.
    """

    dag_id: str
    run_id: str
    by_task: bool


def may_be_cancelled(child: Child, parent: RunKey, prefix: str, *, allowed: bool) -> bool:
    """Return whether a child may be cancelled together with its parent. A task can claim to have
    started any run, so all of these conditions must hold:

    - The namespace of the parent's MLJob may run the child's DAG (``allowed``).
    - Airflow has recorded that some task started the child.
    - The child's run id does not have the form of MLJobs' run ids. One exception is allowed: a
      child in another DAG may have the parent's run id, because a task can pass on its run id.

    Args:
        child: The run that a task claims to have started.
        parent: The run of that task.
        prefix: The prefix of the run ids of MLJobs.
        allowed: Whether the parent's MLJob may run the child's DAG.
    """
    run = RunId.parse(child.run_id)
    ours = run is not None and run.prefix == prefix
    same_id = child.run_id == parent.run_id and child.dag_id != parent.dag_id
    return allowed and child.by_task and (not ours or same_id)


def in_words(children: Sequence[Child]) -> str:
    """Return the run ids and DAGs of at most ``MAX_NAMED`` children, and the number of the other
    children, as a part of a sentence.
    """
    named = [f"{child.run_id} of DAG {child.dag_id}" for child in children[:MAX_NAMED]]
    more = f" and {len(children) - MAX_NAMED} more" if len(children) > MAX_NAMED else ""
    return ", ".join(named) + more
