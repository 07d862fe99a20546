"""What a run's tasks left as outputs: XComs (``/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_client.client import XComApi

from mljob_contract.mljob import OutputSource

from .session import PAGE, TIMEOUT, Answer, Session

OUTPUTS_KEY = "mljob_outputs"
"""The XCom key under which ``mljob_airflow.publish_outputs`` leaves a task's outputs."""


class Outputs:
    """The outputs of one Airflow's runs.

    Args:
        session: Logged in.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)

    def read(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> dict[str, Any]:
        """What all tasks published, merged in the order in which it was pushed, then the XComs that are asked for."""
        outputs: dict[str, Any] = {}
        for _, value in self._entries(dag_id, run_id, "~", OUTPUTS_KEY):
            if isinstance(value, dict):
                outputs |= value
        for source in sources:
            found = self._entries(dag_id, run_id, source.task_id, source.key)
            if found:
                mapped = any(index >= 0 for index, _ in found)
                outputs[source.name] = [value for _, value in sorted(found, key=_index)] if mapped else found[0][1]
        return outputs

    def _entries(self, dag_id: str, run_id: str, task_id: str, key: str) -> list[tuple[int, Any]]:
        """Map index and value of each XCom of this key, in the order in which they were pushed."""
        try:
            page = self._session.ask(
                lambda: self._xcoms.get_xcom_entries_without_preload_content(
                    dag_id, run_id, task_id, xcom_key=key, order_by=["timestamp"], limit=PAGE, _request_timeout=TIMEOUT
                )
            )
        except Answer as answer:
            if answer.status == 404:
                return []
            raise
        found = []
        # Airflow 3.1 ignores order_by and sorts by task id.
        for entry in sorted(page["xcom_entries"], key=_pushed):
            row = self._session.ask(
                lambda entry=entry: self._xcoms.get_xcom_entry_without_preload_content(  # type: ignore[misc]
                    dag_id,
                    entry["task_id"],
                    run_id,
                    key,
                    map_index=entry["map_index"],
                    deserialize=False,
                    _request_timeout=TIMEOUT,
                )
            )
            found.append((int(entry["map_index"]), _plain(row["value"])))
        return found


def _plain(value: Any) -> Any:
    """An XCom as Airflow stores it: JSON in a string, or in older rows JSON itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _pushed(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def _index(found: tuple[int, Any]) -> int:
    return found[0]
