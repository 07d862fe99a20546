"""Reads the outputs of a run's tasks. An output is an XCom, or a part of an XCom.

The path in the REST API is
``/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from airflow_client.client import XComApi

from mljob_contract.mljob import OutputSource

from ...core.frozen import frozen
from ...core.run.outputs import Outputs
from .answers import Absent
from .bodies import TooLarge
from .session import Session
from .xcom_entry import XComEntries
from .xcom_values import stored_elsewhere

OUTPUTS_KEY = "mljob_outputs"
"""The XCom key under which ``mljob_airflow.publish_outputs`` stores a task's outputs."""
OMITTED_KEY = "mljob_outputs_omitted"
"""The field of the XCom ``mljob_outputs`` that lists the names of omitted outputs.
``publish_outputs`` omits an output that is not JSON or is too large."""
MAX_OMITTED = 100
"""The maximum number of names of omitted outputs that are read per task. The status of an MLJob
shows at most 32 such names."""
MAX_XCOM_BYTES = 1024 * 1024
"""The maximum number of bytes of one XCom. A status holds only 16 KiB of outputs, but a large XCom
may hold some small outputs beside a large one."""
MAX_RUN_BYTES = 8 * 1024 * 1024
"""The maximum number of bytes of all XComs that are read for a run."""
IN_A_STORE = "(in an object store)"
"""The text after the name of an output that is omitted because an XCom backend keeps the output in
an object store. For such an XCom, Airflow's REST API returns the path in the object store instead
of the value.
"""
DELETED = "(deleted in Airflow before it was read)"
"""The text after the name of an output whose XCom was deleted while the outputs were read."""
MAX_XCOMS = 1000
"""The maximum number of XComs with the same key that are read, from all tasks of a run or from one
mapped task."""


@frozen
class _XCom:
    """The task instance that pushed an XCom, and the time at which the XCom was pushed."""

    task_id: str
    map_index: int
    pushed: datetime


@dataclass(slots=True)
class _Reading:
    """The state of reading one run's outputs.

    Attributes:
        room: The number of bytes that may still be read for this run.
        omitted: Entries for ``Outputs.omitted``. Each entry names an output or an XCom that was not
            read, and may add the reason.
    """

    dag_id: str
    run_id: str
    room: int
    omitted: list[str] = field(default_factory=list)


class XComOutputs:
    """Reads the outputs of one Airflow's runs.

    Args:
        session: The session with the Airflow.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)
        self._values = XComEntries(session)

    def read(self, dag_id: str, run_id: str, sources: Sequence[OutputSource]) -> Outputs:
        """Return the outputs of a run.

        Each task may publish outputs in an XCom ``mljob_outputs``. These XComs are merged in the
        order in which they were pushed, so a later value replaces an earlier value of the same
        name. The outputs of ``sources`` are added last, and replace published outputs of the same
        name.

        ``omitted`` of the result says what is missing:

        - The XCom of an entry in ``sources`` is too large, is kept in an object store, or was
          deleted while the outputs were read: ``omitted`` has the name of the entry. An XCom is
          also too large if it exceeds the limit for all XComs of the run (``MAX_RUN_BYTES``).
        - An XCom ``mljob_outputs`` is too large, is kept in an object store, or was deleted:
          ``omitted`` has ``mljob_outputs of`` and the XCom's task.
        - An entry in ``sources`` stands for more than ``MAX_XCOMS`` XComs, because its task is
          mapped: ``omitted`` has the name of the entry, and none of these XComs is read.
        - The run has more than ``MAX_XCOMS`` XComs ``mljob_outputs``: ``omitted`` has an entry
          about these XComs, and only the first ``MAX_XCOMS`` XComs are read.
        - A task's ``publish_outputs`` has omitted an output: ``omitted`` has the name of the
          output, unless a later task has published the output, or the output was read for
          ``sources``.

        If the XCom of an entry in ``sources`` does not exist, ``omitted`` does not mention the
        entry.

        Args:
            dag_id: The DAG.
            run_id: The run.
            sources: The entries of ``spec.outputs``. Each names an output, a task and an XCom key.
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
        """Return the XComs of a task with the key ``key``, each as a pair of the XCom and its
        value. The XComs are in the order in which they were pushed.

        Args:
            reading: Collects the names of omitted outputs.
            task_id: The task, or ``~`` for all tasks of the run.
            key: The XCom key.
            name: The name of the output in ``spec.outputs`` that is read from these XComs, or None
                for the key ``mljob_outputs``. With a name, the result is empty if there are more
                than ``MAX_XCOMS`` XComs, or if an XCom can't be read. With None, the result leaves
                out the XComs after the maximum and the XComs that can't be read.
        """
        found = []
        xcoms = list(islice(self._list(reading, task_id, key), MAX_XCOMS + 1))
        if len(xcoms) > MAX_XCOMS:
            reading.omitted.append(name or f"{OUTPUTS_KEY} of more than {MAX_XCOMS} tasks")
            if name is not None:
                return []
        # Airflow 3.1 ignores order_by and sorts by task id, so the XComs are sorted again here.
        for xcom in sorted(xcoms[:MAX_XCOMS], key=lambda xcom: xcom.pushed):
            try:
                value = self._value(reading, xcom, key)
            except Absent:
                # The list had the XCom, so it was deleted in the meantime.
                reading.omitted.append(f"{name or f'{OUTPUTS_KEY} of {xcom.task_id}'} {DELETED}")
                if name is not None:
                    return []
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
        limit = min(MAX_XCOM_BYTES, reading.room)
        entry = self._values.get(reading.dag_id, reading.run_id, xcom.task_id, xcom.map_index, key, max_bytes=limit)
        reading.room -= entry.size
        return entry.value


def _names(value: Any) -> dict[str, None]:
    """Return a dict whose keys are the names of omitted outputs. ``value`` is the list of these
    names, and the keys have the order of the list. At most ``MAX_OMITTED`` items of the list are
    read, and items that are not strings are ignored. Return an empty dict if ``value`` is not a
    list.
    """
    names = value[:MAX_OMITTED] if isinstance(value, list) else []
    return {name: None for name in names if isinstance(name, str)}


def _replace(target: dict[str, Any], newer: dict[str, Any], other: dict[str, Any]) -> None:
    """Add the entries of ``newer`` to ``target``, and remove the same names from ``other``.

    One of ``target`` and ``other`` has the published outputs, and the other dict has the omitted
    outputs. ``newer`` comes from a later task, so the last task that names an output decides
    whether the output counts as published or omitted.
    """
    target |= newer
    for name in newer:
        other.pop(name, None)
