"""Runs that a run's tasks have started: TriggerDagRunOperator leaves the id of each as XCom ``trigger_run_id``, and its DAG among the task's rendered fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from airflow_client.client import DagRunApi, TaskInstanceApi, XComApi

from mljob_contract.airflow_id import MAX_ID_LENGTH

from ...core.children import MAX_CHILDREN, Child
from ...core.phases import TERMINAL_RUN, run_state
from . import absence
from .answers import Absent, Answer, TooLarge
from .rows import Row
from .session import Session
from .xcom_values import plain

RUN_ID_KEY = "trigger_run_id"
_ID = re.compile(r"[\w.~:+-]+")
BY_TASK = "operator"
"""``triggered_by`` of a run that a task has started."""


class Children:
    """The children of one Airflow's runs.

    Args:
        session: Logged in.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)
        self._tasks = TaskInstanceApi(session.client)
        self._runs = DagRunApi(session.client)

    def active(self, dag_id: str, run_id: str) -> list[Child]:
        """The children of a run, and theirs, that have not ended; at most ``MAX_CHILDREN``."""
        found: dict[tuple[str, str], Child | None] = {(dag_id, run_id): None}
        queue = [(dag_id, run_id)]
        for parent in queue:
            for claimed in islice(self._claimed(*parent), MAX_CHILDREN):
                if claimed in found or len(found) > MAX_CHILDREN:
                    continue
                found[claimed] = self._run(*claimed)
                queue.append(claimed)
        return [child for child in found.values() if child is not None]

    def _claimed(self, dag_id: str, run_id: str) -> Iterator[tuple[str, str]]:
        """DAG and run ids as tasks claim them."""
        rows = self._session.pages(
            "xcom_entries",
            self._xcoms.get_xcom_entries_without_preload_content,
            dag_id,
            run_id,
            "~",
            xcom_key=RUN_ID_KEY,
            order_by=["timestamp"],
        )
        for row in rows:
            task_id, map_index = row.text("task_id"), row.number("map_index")
            try:
                child_run = self._value(dag_id, run_id, task_id, map_index)
                child_dag = self._dag(dag_id, run_id, task_id, map_index)
            except (Answer, TooLarge):
                continue
            if _is_id(child_dag) and _is_id(child_run):
                yield str(child_dag), str(child_run)

    def _value(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> object:
        row = self._session.ask(
            self._xcoms.get_xcom_entry_without_preload_content,
            dag_id,
            task_id,
            run_id,
            RUN_ID_KEY,
            map_index=map_index,
            deserialize=False,
            absent=absence.GET_XCOM.about(key=RUN_ID_KEY),
        )
        return plain(row.anything("value"))

    def _dag(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> object:
        row = self._session.ask(
            self._tasks.get_mapped_task_instance_without_preload_content,
            dag_id,
            run_id,
            task_id,
            map_index,
            absent=absence.GET_TASK_INSTANCE.about(
                dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=str(map_index)
            ),
        )
        return row.content("rendered_fields").get("trigger_dag_id")

    def _run(self, dag_id: str, run_id: str) -> Child | None:
        """The run, where there is one that has not ended."""
        try:
            row: Row = self._session.ask(
                self._runs.get_dag_run_without_preload_content,
                dag_id,
                run_id,
                absent=absence.GET_RUN.about(dag_id=dag_id, run_id=run_id),
            )
        except Absent:
            return None
        if run_state(row.word("state")) in TERMINAL_RUN:
            return None
        return Child(dag_id, run_id, row.text_or_none("triggered_by") == BY_TASK)


def _is_id(value: object) -> bool:
    """Whether Airflow allows such an id of a DAG or a run. A task may claim anything, and what is claimed becomes a part of a URL."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_ID_LENGTH
        and _ID.fullmatch(value) is not None
        and value.strip(".~") != ""
    )
