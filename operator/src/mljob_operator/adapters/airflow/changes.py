"""Lists what has changed in all runs with the operator's prefix, so that the operator need not read
each run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from airflow_client.client import DAGApi, DagRunApi, TaskInstanceApi

from ...core.run.halt import Halt
from ...core.run.states import RunState
from ...errors import AirflowForbidden, AirflowUnreadable
from ...ports import RunChange, TaskChange
from . import absence
from .answers import Absent
from .rows import Row, now, run_fact, task_fact
from .session import Session

MAX_NOTE = 300
"""The maximum number of characters of a run's note that are kept. The operator's own notes have at
most 211 characters.
"""


class Changes:
    """Lists the changes of the operator's runs in one Airflow, and finds paused and stale DAGs.
    If an entry of a list in Airflow's answer can't be read, the entry is logged and left out.

    Args:
        session: The session with the Airflow.
        prefix: The prefix of the operator's dag run ids.
    """

    def __init__(self, session: Session, *, prefix: str) -> None:
        self._session = session
        self._prefix = prefix + "."
        self._runs = DagRunApi(session.client)
        self._tasks = TaskInstanceApi(session.client)
        self._dags = DAGApi(session.client)

    def runs(self, since: datetime) -> list[RunChange]:
        """Return the operator's runs that changed at or after ``since`` (Airflow's clock).

        Request: ``GET /dags/~/dagRuns?updated_at_gte=&run_id_prefix_pattern=``, all pages.
        """
        return self._list_runs(updated_at_gte=since)

    def active_runs(self) -> list[RunChange]:
        """Return the operator's runs that are queued or running.

        Request: ``GET /dags/~/dagRuns?state=queued&state=running&run_id_prefix_pattern=``, all
        pages.
        """
        return self._list_runs(state=[RunState.QUEUED.value, RunState.RUNNING.value])

    def tasks(self, since: datetime) -> list[TaskChange]:
        """Return the changed task instances of the operator's runs. A task instance is included if
        its last change was at or after ``since`` (Airflow's clock).

        Request: ``GET /dags/~/dagRuns/~/taskInstances?updated_at_gte=&run_id_prefix_pattern=``, all
        pages.
        """
        observed_at = now()
        rows = self._session.lists.rows(
            "task_instances",
            self._tasks.get_task_instances_without_preload_content,
            "~",
            "~",
            cursors=True,
            skip_too_large=True,
            updated_at_gte=since,
            run_id_prefix_pattern=self._prefix,
        )

        def change(row: Row) -> TaskChange:
            return TaskChange(row.text("dag_id"), row.text("dag_run_id"), task_fact(row, observed_at))

        return list(self._session.lists.each(self._ours(rows), change))

    def halts(self, dag_ids: Sequence[str]) -> dict[str, Halt | None]:
        """Return the :class:`.Halt` of each DAG: PAUSED, STALE, or None if the DAG is neither
        paused nor stale. A DAG that is both paused and stale counts as stale. A DAG that does not
        exist also counts as stale. The result leaves out a DAG that the operator may not read, or
        for which Airflow's answer can't be read.

        Request for each DAG: ``GET /dags/{dag_id}``.
        """
        found: dict[str, Halt | None] = {}
        for dag_id in dag_ids:
            try:
                dag = self._session.ask(
                    self._dags.get_dag_without_preload_content, dag_id, absent=absence.GET_DAG.with_ids(dag_id=dag_id)
                )
                paused, stale = dag.flag("is_paused"), dag.flag("is_stale")
            except Absent:
                paused, stale = False, True
            except (AirflowForbidden, AirflowUnreadable):
                continue
            found[dag_id] = Halt.STALE if stale else Halt.PAUSED if paused else None
        return found

    def paused_dags(self) -> set[str]:
        """Return the ids of the paused DAGs (``GET /dags?paused=true``, all pages)."""
        rows = self._session.lists.rows(
            "dags", self._dags.get_dags_without_preload_content, paused=True, order_by=["dag_id"]
        )
        return set(self._session.lists.each(rows, lambda row: row.text("dag_id")))

    def _list_runs(self, **query: Any) -> list[RunChange]:
        observed_at = now()
        rows = self._session.lists.rows(
            "dag_runs",
            self._runs.get_dag_runs_without_preload_content,
            "~",
            cursors=True,
            skip_too_large=True,
            run_id_prefix_pattern=self._prefix,
            **query,
        )

        def change(row: Row) -> RunChange:
            return RunChange(
                row.text("dag_id"),
                row.text("dag_run_id"),
                run_fact(row, observed_at),
                row.prose("note", MAX_NOTE) or None,
            )

        return list(self._session.lists.each(self._ours(rows), change))

    def _ours(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield only the rows of runs with the operator's prefix. Airflow's own filter returns
        other rows too: Airflow 3.1 ignores ``run_id_prefix_pattern``, and later versions ignore the
        dot at the end of the prefix.
        """
        return (row for row in rows if row.starts_with("dag_run_id", self._prefix))
