"""The DAGs and runs of the simulated Airflow. Indexes speed up the lists that the operator requests
often: active runs, recent changes, and the runs of one DAG.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, ValuesView
from datetime import datetime
from typing import Any

from mljob_operator.core.run.states import RunState, TaskState

from .dags import Dag
from .runs import Run, RunKey, TaskInstance, TaskKey, now

MAX_ENDS = 100_000
"""The maximum number of runs whose ends are kept for the benchmarks."""


class Store:
    """All DAGs and runs of a simulated Airflow.

    Attributes:
        dags: The DAGs by id.
        ends: The end of each run by run id, in seconds of the monotonic clock. Only the newest
            ``MAX_ENDS`` ends are stored.
        task_ends: When the tasks of each run succeeded, by run id, the earliest first, in seconds
            of the monotonic clock. Only the newest ``MAX_ENDS`` runs are stored.
    """

    def __init__(self, dags: Iterable[Dag]) -> None:
        self.dags = {dag.dag_id: dag for dag in dags}
        self.ends: dict[str, float] = {}
        self.task_ends: dict[str, list[float]] = {}
        self._runs: dict[RunKey, Run] = {}
        self._of_dag: dict[str, dict[str, Run]] = {}
        self._active: dict[RunKey, Run] = {}
        self._dates: dict[tuple[str, datetime], Run] = {}
        self._changed_runs: dict[RunKey, Run] = {}
        self._changed_tasks: dict[int, TaskInstance] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, dag_id: str, run_id: str) -> Run | None:
        """Return a run, or None if there is no such run."""
        return self._runs.get((dag_id, run_id))

    def of_date(self, dag_id: str, date: datetime | None) -> Run | None:
        """Return the DAG's run for a logical date, or None if there is no such run. For the date
        None, return None.
        """
        return self._dates.get((dag_id, date)) if date is not None else None

    def runs(self, dag_id: str = "~") -> ValuesView[Run]:
        """Return the runs of a DAG, or of all DAGs (``~``), in the order of their creation."""
        return (self._runs if dag_id == "~" else self._of_dag.get(dag_id, {})).values()

    def active(self, dag_id: str = "~") -> list[Run]:
        """Return the queued and running runs of a DAG, or of all DAGs (``~``), in the order in
        which the runs became active.
        """
        return [run for run in self._active.values() if dag_id in ("~", run.dag_id)]

    def runs_since(self, at: datetime) -> Iterator[Run]:
        """Return the runs that changed at or after a time, the latest change first."""
        return itertools.takewhile(lambda run: run.changed >= at, reversed(self._changed_runs.values()))

    def tasks_since(self, at: datetime) -> Iterator[TaskInstance]:
        """Return the task instances that changed at or after a time, the latest change first."""
        return itertools.takewhile(lambda task: task.changed >= at, reversed(self._changed_tasks.values()))

    def add(
        self,
        dag: Dag,
        run_id: str,
        conf: Mapping[str, Any],
        *,
        note: str | None = None,
        date: datetime | None = None,
        run_type: str = "manual",
    ) -> Run:
        """Create a queued run with its task instances."""
        at = now()
        run = Run(dag.dag_id, run_id, next(self._numbers), dict(conf), note or None, date, run_type, at, at)
        for task_id in dag.tasks:
            run.tasks[task_id, -1] = TaskInstance(run, next(self._numbers), task_id, at)
        self._runs[run.key] = self._active[run.key] = run
        self._of_dag.setdefault(dag.dag_id, {})[run_id] = run
        if date is not None:
            self._dates[dag.dag_id, date] = run
        self.touch(run, run.tasks.values())
        return run

    def set_run(self, run: Run, state: RunState) -> None:
        """Set the state of a run. With the state running, also set the run's start to now. With the
        state success or failed, also set the run's end to now.
        """
        at = now()
        run.state = state
        if state is RunState.RUNNING:
            run.start = at
        if run.is_over:
            run.end, run.ended = at, time.monotonic()
            self._active.pop(run.key, None)
            self.ends[run.run_id] = run.ended
            _forget_oldest(self.ends)
        self.touch(run)

    def set_task(self, task: TaskInstance, state: TaskState) -> None:
        """Set the state of a task instance."""
        task.set(state, now())
        if state is TaskState.SUCCESS:
            self.task_ends.setdefault(task.run.run_id, []).append(time.monotonic())
            _forget_oldest(self.task_ends)
        self._moved(task)

    def clear(self, run: Run, keys: Iterable[TaskKey]) -> None:
        """Clear task instances of a run. A run that has ended is queued again."""
        at = now()
        for task in (run.tasks[key] for key in keys):
            task.state, task.start, task.end, task.changed = TaskState.NONE, None, None, at
            self._moved(task)
        run.queued_at = at
        run.generation += 1
        if run.is_over:
            run.state, run.start, run.end, run.ended = RunState.QUEUED, at, None, None
            self._active[run.key] = run
        self.touch(run)

    def remove(self, run: Run) -> None:
        """Delete a run and its task instances."""
        run.generation += 1
        for index in (self._runs, self._active, self._changed_runs):
            index.pop(run.key, None)
        self._of_dag[run.dag_id].pop(run.run_id, None)
        if run.date is not None:
            self._dates.pop((run.dag_id, run.date), None)
        for task in run.tasks.values():
            self._changed_tasks.pop(task.number, None)

    def touch(self, run: Run, tasks: Iterable[TaskInstance] = ()) -> None:
        """Set the time of a run's last change to now. Also put the task instances ``tasks`` first
        in the result of :meth:`tasks_since`. The caller has already set their ``changed``.
        """
        run.changed = now()
        self._changed_runs.pop(run.key, None)
        self._changed_runs[run.key] = run
        for task in tasks:
            self._moved(task)

    def _moved(self, task: TaskInstance) -> None:
        self._changed_tasks.pop(task.number, None)
        self._changed_tasks[task.number] = task


def _forget_oldest(ends: dict[str, Any]) -> None:
    if len(ends) > MAX_ENDS:
        del ends[next(iter(ends))]
