"""Reads the value of one XCom.

Path in the REST API:
``/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}``.
"""

from __future__ import annotations

from typing import Any

from airflow_client.client import XComApi

from ...core.frozen import frozen
from . import absence
from .bodies import MAX_OBJECT_BYTES
from .session import Session
from .xcom_values import plain


@frozen
class XComEntry:
    """The value of an XCom.

    Attributes:
        value: The value as a dict, list, str, int, float, bool or None. Stored Python objects, such
            as tuples, are converted to these types.
        size: The size of Airflow's answer in bytes.
    """

    value: Any
    size: int


class XComEntries:
    """Reads XComs of task instances in one Airflow.

    Args:
        session: The session with the Airflow.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)

    def get(
        self, dag_id: str, run_id: str, task_id: str, map_index: int, key: str, *, max_bytes: int = MAX_OBJECT_BYTES
    ) -> XComEntry:
        """Request an XCom of a task instance. Return an :class:`XComEntry`.

        Args:
            dag_id: The DAG.
            run_id: The run.
            task_id: The task.
            map_index: The map index of the task instance, or -1 for a task that is not mapped.
            key: The key of the XCom.
            max_bytes: The maximum number of bytes of the answer.

        Raises:
            Absent: Airflow has no such XCom.
            TooLarge: The answer is larger than ``max_bytes``.
            Exception: The other exceptions of :meth:`.Session.ask`.
        """
        row = self._session.ask(
            self._xcoms.get_xcom_entry_without_preload_content,
            dag_id,
            task_id,
            run_id,
            key,
            map_index=map_index,
            deserialize=False,
            absent=absence.GET_XCOM.with_ids(key=key),
            max_bytes=max_bytes,
        )
        return XComEntry(plain(row.value("value")), row.size)
