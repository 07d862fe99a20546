"""What has changed in Airflow, of all runs with our prefix: what the resync asks for instead of one run after the other."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_client.client import DAGApi, DagRunApi, TaskInstanceApi

from ...core.phases import RunState
from ...ports import RunChange, TaskChange
from .rows import now, run_fact, task_fact
from .session import PAGE, TIMEOUT, Session


class Changes:
    """The changes of one Airflow's runs.

    Args:
        session: Logged in.
        prefix: Of our dag run ids.
    """

    def __init__(self, session: Session, *, prefix: str) -> None:
        self._session = session
        self._prefix = prefix + "."
        self._runs = DagRunApi(session.client)
        self._tasks = TaskInstanceApi(session.client)
        self._dags = DAGApi(session.client)

    def runs(self, since: datetime) -> list[RunChange]:
        """``GET /dags/~/dagRuns?updated_at_gte=&run_id_prefix_pattern=``, all pages."""
        return self._list_runs(updated_at_gte=since)

    def active_runs(self) -> list[RunChange]:
        """``GET /dags/~/dagRuns?state=queued&state=running&run_id_prefix_pattern=``, all pages."""
        return self._list_runs(state=[RunState.QUEUED.value, RunState.RUNNING.value])

    def tasks(self, since: datetime) -> list[TaskChange]:
        """``GET /dags/~/dagRuns/~/taskInstances?updated_at_gte=&run_id_prefix_pattern=``, all pages."""
        seen = now()
        rows = self._session.pages(
            "task_instances",
            lambda place: self._tasks.get_task_instances_without_preload_content(
                "~",
                "~",
                updated_at_gte=since,
                run_id_prefix_pattern=self._prefix,
                **place,
                _request_timeout=TIMEOUT,
            ),
        )
        return [TaskChange(row["dag_id"], row["dag_run_id"], task_fact(row, seen)) for row in self._ours(rows)]

    def paused_dags(self) -> set[str]:
        """``GET /dags?paused=true``, all pages."""
        paused: set[str] = set()
        while True:
            offset = len(paused)
            page = self._session.ask(
                lambda offset=offset: self._dags.get_dags_without_preload_content(  # type: ignore[misc]
                    paused=True, limit=PAGE, offset=offset, order_by=["dag_id"], _request_timeout=TIMEOUT
                )
            )
            paused.update(row["dag_id"] for row in page["dags"])
            if len(page["dags"]) < PAGE:
                return paused

    def _list_runs(self, **which: Any) -> list[RunChange]:
        seen = now()
        rows = self._session.pages(
            "dag_runs",
            lambda place: self._runs.get_dag_runs_without_preload_content(
                "~", **which, run_id_prefix_pattern=self._prefix, **place, _request_timeout=TIMEOUT
            ),
        )
        return [RunChange(row["dag_id"], row["dag_run_id"], run_fact(row, seen)) for row in self._ours(rows)]

    def _ours(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of our runs: Airflow 3.1 has no prefix to list by, and later ones drop the punctuation at its end."""
        return [row for row in rows if row["dag_run_id"].startswith(self._prefix)]
