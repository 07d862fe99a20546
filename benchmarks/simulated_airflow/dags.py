"""The DAGs of the simulated Airflow: their tasks, and the course of their runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

CANCEL_DAG = "mljob_cancel"
MAX_TASKS = 1000
Seconds = Annotated[float, Field(ge=0, le=86400)]
Id = Annotated[str, Field(min_length=1, max_length=250)]


class Dag(BaseModel):
    """A DAG. Its tasks run one after the other.

    Attributes:
        dag_id: The DAG's id.
        tasks: The ids of the tasks, upstream first.
        queued_seconds: How long a run stays queued.
        task_seconds: How long each task runs.
        jitter: The share by which ``queued_seconds`` and ``task_seconds`` vary at random. With 0.5,
            a time is between 0.5 and 1.5 times its value.
        progress_reports: How many events with progress and metrics each task sends.
        outcome: ``success`` or ``failed``: the state in which the last task ends. ``waits``: the
            first task never ends.
        required: The names of params that the conf must have, with integers as values.
        params: The params, as ``GET /dags/{dag_id}/details`` returns them.
        is_paused: Whether the DAG is paused. Then queued runs stay queued, and running runs start
            no further task.
        is_stale: Whether no file has the DAG any more.
        daily: Whether the DAG has a daily schedule, so that backfills are possible.
        asks: By task id, the question that the task asks a person (:meth:`question`). The
            simulation accepts no answers, so the task waits until its run is cancelled.
        outputs: The outputs of the last task, if the run succeeds.
        returns: By task id, the value that the task returns.
    """

    model_config = ConfigDict(extra="forbid")

    dag_id: Id
    tasks: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MAX_TASKS)] = ("work",)
    queued_seconds: Seconds = 0.1
    task_seconds: Seconds = 0.2
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    progress_reports: Annotated[int, Field(ge=0, le=1000)] = 0
    outcome: Literal["success", "failed", "waits"] = "success"
    required: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    is_paused: bool = False
    is_stale: bool = False
    daily: bool = False
    asks: dict[Id, str] = {}
    outputs: dict[str, Any] = {}
    returns: dict[Id, Any] = {}

    def downstream(self, task_id: str) -> list[str]:
        """Return a list with the id of the next task, or an empty list for the last task."""
        at = self.tasks.index(task_id)
        return list(self.tasks[at + 1 : at + 2])

    def question(self, task_id: str, conf: dict[str, Any]) -> str:
        """Return the question that a task asks a person. Each ``{param}`` in the question is
        replaced by the value of this param in the conf, or by an empty string if the conf lacks the
        param.
        """
        return re.sub(r"\{(\w+)\}", lambda found: str(conf.get(found[1], "")), self.asks[task_id])


def cancellation_dag() -> Dag:
    """Return the DAG that cancels runs."""
    return Dag(dag_id=CANCEL_DAG, tasks=("cancel",), queued_seconds=0.05, task_seconds=0.05)


def read_dags(file: Path) -> list[Dag]:
    """Read DAGs from a JSON file with a list of :class:`Dag`.

    Raises:
        OSError: The file can't be read.
        ValueError: The file is not such a list.
    """
    return TypeAdapter(list[Dag]).validate_python(json.loads(file.read_text()))
