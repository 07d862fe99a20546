"""Makes the graph of a run: the tasks, their states, and the dependencies between the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mljob_contract.graph import MAX_GRAPH_EDGES, MAX_GRAPH_TASKS, GraphEdge, GraphTask, RunGraph
from mljob_contract.mljob import MappedTasks, TaskStatus
from mljob_contract.task_ranks import task_ranks

from ..core.run.run_key import RunKey
from ..core.run.states import TaskState
from ..core.status.tasks import RunTasks
from ..ports import DagTask
from .readings import Reading


def graph_of(key: RunKey, structure: Sequence[DagTask], reading: Reading) -> RunGraph:
    """Return the graph of a run.

    The graph has at most ``MAX_GRAPH_TASKS`` tasks and ``MAX_GRAPH_EDGES`` edges.

    Args:
        key: The run.
        structure: The tasks of the DAG's latest version. Tasks of the run that this version does
            not have come last in the graph, without edges.
        reading: The state of the run and its task instances.
    """
    known = {task.task_id: task for task in structure}
    states = {task.entry.status.task_id: task.entry.status for task in RunTasks().of(reading.tasks, None)}
    # Tasks of the run that the DAG no longer has come last, without edges.
    others = [DagTask(task_id, task_id, None, ()) for task_id in sorted(states.keys() - known.keys())]
    ordered = [*_in_order(known), *others]
    shown = ordered[:MAX_GRAPH_TASKS]
    ids = {task.task_id for task in shown}
    edges = [GraphEdge(source=task.task_id, target=to) for task in shown for to in task.downstream if to in ids]
    return RunGraph(
        dag_id=key.dag_id,
        dag_run_id=key.run_id,
        state=reading.run.state if reading.run is not None else None,
        tasks=[_task(task, states.get(task.task_id)) for task in shown],
        edges=edges[:MAX_GRAPH_EDGES],
        tasks_omitted=len(ordered) - len(shown),
    )


def _in_order(structure: Mapping[str, DagTask]) -> list[DagTask]:
    """Return the tasks, each after its upstream tasks."""
    # Airflow's DAGs have no cycles, but an answer may contain a cycle. Then no task has a rank.
    ranks = task_ranks({task_id: task.downstream for task_id, task in structure.items()})
    return sorted(structure.values(), key=lambda task: (ranks.get(task.task_id, 0), task.task_id))


def _task(task: DagTask, status: TaskStatus | None) -> GraphTask:
    group, _, own = task.task_id.rpartition(".")
    label = own if task.label == task.task_id else task.label
    found = GraphTask(id=task.task_id, label=label, group=group or None, operator=task.operator)
    if status is None:
        return found
    return found.model_copy(
        update={
            "state": status.state,
            "try_number": status.try_number,
            "start_time": status.start_time,
            "end_time": status.end_time,
            "mapped": status.mapped,
            "counts": _counts(status.mapped) if status.mapped is not None else None,
        }
    )


def _counts(mapped: MappedTasks) -> str:
    done = sum(mapped.states.get(state, 0) for state in (TaskState.SUCCESS, TaskState.SKIPPED))
    return f"{done}/{mapped.total}"
