"""Reads the tasks of a DAG and their dependencies (``GET /dags/{dag_id}/tasks``)."""

from __future__ import annotations

from airflow_client.client import TaskApi

from ...ports import DagTask
from . import absence
from .answers import Absent
from .bodies import MAX_PAGE_BYTES
from .rows import Row
from .session import Session


class Structure:
    """Reads the tasks of one Airflow's DAGs.

    Args:
        session: The session with the Airflow.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks = TaskApi(session.client)

    def tasks(self, dag_id: str) -> list[DagTask]:
        """Return the tasks of the latest version of a DAG, or an empty list if the DAG does not
        exist. A task that can't be read is logged and left out.

        Raises:
            Exception: The exceptions of :meth:`.Session.ask`, except ``Absent``.
        """
        try:
            answer = self._session.ask(
                self._tasks.get_tasks_without_preload_content,
                dag_id,
                absent=absence.LIST_TASKS.with_ids(dag_id=dag_id),
                max_bytes=MAX_PAGE_BYTES,
            )
        except Absent:
            return []
        return list(self._session.lists.each(answer.rows("tasks"), _task))


def _task(row: Row) -> DagTask:
    task_id = row.text("task_id")
    return DagTask(
        task_id,
        row.prose("task_display_name", 250) or task_id,
        row.text_or_none("operator_name"),
        tuple(row.texts("downstream_task_ids")),
    )
