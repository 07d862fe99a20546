"""The response of the subresource ``mljobs/graph`` of ``run.mljob.dev``. The response has the graph
of an MLJob's run: the tasks of its DAG with their states, and the edges between these tasks.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .history import TryNumber
from .mljob.status import MappedTasks
from .resource import ResourceModel
from .times import Time

MAX_GRAPH_TASKS = 5_000
"""The maximum number of tasks in a graph."""
MAX_GRAPH_EDGES = 50_000
"""The maximum number of edges in a graph."""


class GraphTask(ResourceModel):
    """A task of the DAG. All instances of a mapped task share one entry."""

    id: str
    """The id of the task in its DAG: group.task for a task in a group."""
    label: str
    """The id without the ids of the groups, or the name that the DAG gives the task."""
    group: str | None = None
    """The id of the task group, such as outer.inner. Absent for a task outside of groups."""
    operator: str | None = None
    """The class of the task's operator."""
    state: str = "none"
    """Airflow's state of the task. The value is none before the task is scheduled. For a mapped
    task, the most important state of its instances, as in the status of the MLJob."""
    try_number: TryNumber = 0
    """The number of the current try, from 1. The value is 0 before the first try. For a mapped
    task, the highest number of its instances."""
    start_time: Time | None = None
    """When the current try started. For a mapped task, when the first instance started."""
    end_time: Time | None = None
    """When the task ended. For a mapped task, when the last instance ended."""
    mapped: MappedTasks | None = None
    """The instances of the task. Present for a mapped task that Airflow has expanded."""
    counts: str | None = None
    """How many instances of a mapped task have succeeded, and how many instances the task has, such
    as 12/40. Skipped instances count as succeeded. Present with ``mapped``.
    """


class GraphEdge(ResourceModel):
    """A dependency: the task ``target`` runs after the task ``source``."""

    source: str
    """The id of the upstream task."""
    target: str
    """The id of the downstream task."""


class RunGraph(ResourceModel):
    """The tasks of a run's DAG, and the dependencies between them."""

    api_version: Literal["run.mljob.dev/v1alpha1"] = "run.mljob.dev/v1alpha1"
    """The version of this format."""
    kind: Literal["RunGraph"] = "RunGraph"
    """The kind of this object."""
    dag_id: str
    """The DAG of the run."""
    dag_run_id: str
    """The id of the run in Airflow."""
    state: str | None = None
    """Airflow's state of the run: queued, running, success or failed. Absent before Airflow has the
    run."""
    tasks: list[GraphTask] = Field(default_factory=list)
    """The tasks, with upstream tasks first. Tasks of equal depth are sorted by id. Tasks that were
    removed from the DAG after the run started come last, without edges.
    """
    edges: list[GraphEdge] = Field(default_factory=list)
    """The dependencies between tasks of this graph."""
    tasks_omitted: Annotated[int, Field(ge=0)] = 0
    """How many tasks are missing in ``tasks``, because the run has more tasks than a graph can
    have.
    """
