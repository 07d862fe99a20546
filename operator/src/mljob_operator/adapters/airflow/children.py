"""Finds the children of a run: the runs that its tasks have started with TriggerDagRunOperator.

TriggerDagRunOperator pushes the id of the started run as XCom ``trigger_run_id``. The rendered
field ``trigger_dag_id`` of the task instance contains the id of the started run's DAG.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from airflow_client.client import TaskInstanceApi, XComApi

from mljob_contract.airflow_id import MAX_ID_LENGTH

from ...core.run.children import MAX_CHILDREN, Child
from ...core.run.states import TERMINAL_RUN, run_state
from . import absence
from .answers import Answer
from .bodies import TooLarge
from .run_requests import RunRequests
from .session import Session
from .xcom_entry import XComEntries

RUN_ID_KEY = "trigger_run_id"
_ID = re.compile(r"[\w.~:+-]+")
BY_TASK = "operator"
"""Airflow's value of the field ``triggered_by`` for a run that a task has started."""


class Children:
    """Finds the children of runs in one Airflow.

    Args:
        session: The session with the Airflow.
        runs: Reads dag runs of the Airflow.
    """

    def __init__(self, session: Session, runs: RunRequests) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)
        self._entries = XComEntries(session)
        self._tasks = TaskInstanceApi(session.client)
        self._runs = runs

    def active(self, dag_id: str, run_id: str) -> list[Child]:
        """Return the queued and running descendants of a run: the run's children, the children of
        these children, and so on. A descendant that has ended is left out, but the queued and
        running children of this descendant are returned.

        The ids of the children come from the XComs ``trigger_run_id``. One call reads at most
        ``MAX_CHILDREN`` of these XComs. A task can also push such an XCom with the id of a run that
        the task did not start. So :attr:`.Child.by_task` says whether a task started the run
        according to Airflow's own data.
        """
        found: dict[tuple[str, str], Child | None] = {(dag_id, run_id): None}
        queue, left = [(dag_id, run_id)], MAX_CHILDREN
        for parent in queue:
            tasks = list(islice(self._tasks_with_run_id(*parent), left))
            left -= len(tasks)
            for task_id, map_index in tasks:
                run = self._started_run(*parent, task_id, map_index)
                if run is not None and run not in found:
                    found[run] = self._run(*run)
                    queue.append(run)
        return [child for child in found.values() if child is not None]

    def _tasks_with_run_id(self, dag_id: str, run_id: str) -> Iterator[tuple[str, int]]:
        rows = self._session.lists.rows(
            "xcom_entries",
            self._xcoms.get_xcom_entries_without_preload_content,
            dag_id,
            run_id,
            "~",
            xcom_key=RUN_ID_KEY,
            order_by=["timestamp"],
        )
        return ((row.text("task_id"), row.number("map_index")) for row in rows)

    def _started_run(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> tuple[str, str] | None:
        try:
            child_run = self._entries.get(dag_id, run_id, task_id, map_index, RUN_ID_KEY).value
            child_dag = self._dag(dag_id, run_id, task_id, map_index)
        except (Answer, TooLarge):
            return None
        return (str(child_dag), str(child_run)) if _is_id(child_dag) and _is_id(child_run) else None

    def _dag(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> object:
        row = self._session.ask(
            self._tasks.get_mapped_task_instance_without_preload_content,
            dag_id,
            run_id,
            task_id,
            map_index,
            absent=absence.GET_TASK_INSTANCE.with_ids(
                dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=str(map_index)
            ),
        )
        return row.content("rendered_fields").get("trigger_dag_id")

    def _run(self, dag_id: str, run_id: str) -> Child | None:
        row = self._runs.row(dag_id, run_id)
        if row is None or run_state(row.text_or_null("state")) in TERMINAL_RUN:
            return None
        return Child(dag_id, run_id, row.text_or_none("triggered_by") == BY_TASK)


def _is_id(value: object) -> bool:
    """Return whether a value is a valid id of a DAG or a run. An XCom may have any value, and the
    operator puts the id into a URL.
    """
    return (
        isinstance(value, str)
        and len(value) <= MAX_ID_LENGTH
        and _ID.fullmatch(value) is not None
        and value.strip(".~") != ""
    )
