"""What a run's tasks left as outputs: XComs (``/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from airflow_client.client import XComApi

from mljob_contract.mljob import OutputSource

from ...core.run.outputs import Outputs
from . import absence
from .answers import Absent, TooLarge
from .session import Session
from .xcom_values import plain, stored_elsewhere

OUTPUTS_KEY = "mljob_outputs"
"""The XCom key under which ``mljob_airflow.publish_outputs`` leaves a task's outputs."""
OMITTED_KEY = "mljob_outputs_omitted"
"""Within that XCom: the names of the outputs that ``publish_outputs`` left out, because they are not JSON or too large."""
MAX_OMITTED = 100
"""Names of one task's outputs that are left out. The status has 32 of all tasks together."""
MAX_XCOM_BYTES = 1024 * 1024
"""Of one XCom. A status holds 16 KiB of outputs, but of one task's some may be small."""
MAX_RUN_BYTES = 8 * 1024 * 1024
"""Of all XComs that are read for a run."""
IN_A_STORE = "(in an object store)"
"""Why an output is left out whose XCom an object-store backend keeps: Airflow's REST API gives the address, and not the value."""
MAX_XCOMS = 1000
"""Of one key in a run, and of one task where it is mapped."""


@dataclass(frozen=True, slots=True)
class _XCom:
    """Where an XCom is."""

    task_id: str
    map_index: int
    pushed: datetime


@dataclass(slots=True)
class _Reading:
    """What is read of one run.

    Attributes:
        room: Bytes that may still be read.
        omitted: Names of what was too large, or is in an object store.
    """

    dag_id: str
    run_id: str
    room: int
    omitted: list[str] = field(default_factory=list)


class XComOutputs:
    """The outputs of one Airflow's runs.

    Args:
        session: Logged in.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)

    def read(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """What all tasks published, merged in the order in which it was pushed, then the XComs that are asked for.

        What is too large to be read, or kept in an object store, is named in ``omitted``: an output by its name, what a task published by the task's. So is what a task left
        out of what it published, unless another task published it later.
        """
        reading = _Reading(dag_id, run_id, MAX_RUN_BYTES)
        values: dict[str, Any] = {}
        left_out: dict[str, None] = {}
        for _, value in self._entries(reading, "~", OUTPUTS_KEY, name=None):
            if isinstance(value, dict):
                names = _names(value.pop(OMITTED_KEY, None))
                _replace(values, value, left_out)
                _replace(left_out, names, values)
        for source in sources:
            found = sorted(
                self._entries(reading, source.task_id, source.key, name=source.name),
                key=lambda entry: entry[0].map_index,
            )
            if found:
                mapped = any(xcom.map_index >= 0 for xcom, _ in found)
                values[source.name] = [value for _, value in found] if mapped else found[0][1]
                left_out.pop(source.name, None)
        return Outputs(values, tuple(dict.fromkeys((*reading.omitted, *left_out))))

    def _entries(self, reading: _Reading, task_id: str, key: str, *, name: str | None) -> list[tuple[_XCom, Any]]:
        """Each XCom of this key with its value, in the order in which they were pushed; none where one of an output's can't be had."""
        found = []
        xcoms = list(islice(self._list(reading, task_id, key), MAX_XCOMS + 1))
        if len(xcoms) > MAX_XCOMS:
            reading.omitted.append(name or f"{OUTPUTS_KEY} of more than {MAX_XCOMS} tasks")
            if name is not None:
                return []
        # Airflow 3.1 ignores order_by and sorts by task id.
        for xcom in sorted(xcoms[:MAX_XCOMS], key=lambda xcom: xcom.pushed):
            try:
                value = self._value(reading, xcom, key)
            except Absent:
                continue
            except TooLarge:
                reading.omitted.append(name or f"{OUTPUTS_KEY} of {xcom.task_id}")
                if name is not None:
                    return []
                continue
            if stored_elsewhere(value, reading.dag_id, reading.run_id, xcom.task_id):
                reading.omitted.append(f"{name or f'{OUTPUTS_KEY} of {xcom.task_id}'} {IN_A_STORE}")
                if name is not None:
                    return []
                continue
            found.append((xcom, value))
        return found

    def _list(self, reading: _Reading, task_id: str, key: str) -> Iterator[_XCom]:
        rows = self._session.pages(
            "xcom_entries",
            self._xcoms.get_xcom_entries_without_preload_content,
            reading.dag_id,
            reading.run_id,
            task_id,
            xcom_key=key,
            order_by=["timestamp"],
        )
        return (_XCom(row.text("task_id"), row.number("map_index"), row.time("timestamp")) for row in rows)

    def _value(self, reading: _Reading, xcom: _XCom, key: str) -> Any:
        row = self._session.ask(
            self._xcoms.get_xcom_entry_without_preload_content,
            reading.dag_id,
            xcom.task_id,
            reading.run_id,
            key,
            map_index=xcom.map_index,
            deserialize=False,
            absent=absence.GET_XCOM.about(key=key),
            most=min(MAX_XCOM_BYTES, reading.room),
        )
        value = row.anything("value")
        reading.room -= row.size
        return plain(value)


def _names(value: Any) -> dict[str, None]:
    """The names of a task's outputs that it left out: whatever else is there is no name."""
    names = value[:MAX_OMITTED] if isinstance(value, list) else []
    return {name: None for name in names if isinstance(name, str)}


def _replace(place: dict[str, Any], newer: dict[str, Any], other: dict[str, Any]) -> None:
    """Put what is newer into its place, and take it from the other: an output is published or left out, as its last task says."""
    place |= newer
    for name in newer:
        other.pop(name, None)
