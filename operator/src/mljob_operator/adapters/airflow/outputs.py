"""Reads the outputs of a run's tasks. An output is the value of an XCom, an entry of the XCom
``mljob_outputs``, or a list of the values that the instances of a mapped task have pushed.

Path in the REST API:
``/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
MAX_SECONDS = 30.0
"""Seconds after which no more XComs of a run are read, because other runs' outputs have to wait."""
IN_A_STORE = "(in an object store)"
"""The text after the name of an output that is omitted because an XCom backend keeps the output in
an object store. For such an XCom, Airflow's REST API returns the path in the object store instead
of the value.
"""
TOO_SLOW = f"(not read within {MAX_SECONDS:.0f} s)"
"""The text after the name of an output whose XComs Airflow did not return in time."""
DELETED = "(deleted in Airflow before it was read)"
"""The text after the name of an output whose XCom was deleted while the outputs were read."""
MAX_XCOMS = 1000
"""The maximum number of XComs with the same key that are read, from all tasks of a run or from one
mapped task."""


@frozen
class XCom:
    """An XCom in a list of Airflow's, without its value.

    Attributes:
        task_id: The task that has pushed the XCom.
        map_index: The map index of the task instance, or -1 for a task that is not mapped.
        pushed: When the task pushed the XCom.
    """

    task_id: str
    map_index: int
    pushed: datetime


class _Omitted(Exception):
    """The error for an XCom that is left out of the outputs. The text is the reason in parentheses,
    or empty if the XCom is too large.
    """


@dataclass(slots=True)
class _Reading:
    """The state of reading one run's outputs.

    Attributes:
        room: The number of bytes that may still be read for this run.
        until: The time after which no more XComs are read, by the monotonic clock.
        omitted: Texts for ``Outputs.omitted``. Each names an output or XCom that was not read.
    """

    dag_id: str
    run_id: str
    room: int
    until: float
    omitted: list[str] = field(default_factory=list)

    @property
    def is_late(self) -> bool:
        """Whether no more XComs are read."""
        return time.monotonic() > self.until


class XComOutputs:
    """Reads the outputs of one Airflow's runs.

    Args:
        session: The session with the Airflow.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._xcoms = XComApi(session.client)
        self._values = XComEntries(session)

    def published(self, dag_id: str, run_id: str) -> list[XCom]:
        """Return a run's XComs ``mljob_outputs``, without their values, as :meth:`read` expects
        them. The list has at most ``MAX_XCOMS`` + 1 items, even if there are more XComs.

        This takes one request for each 100 XComs, so at most as many requests as the list of the
        run's task instances.
        """
        return self._list(dag_id, run_id, "~", OUTPUTS_KEY)

    def read(self, dag_id: str, run_id: str, published: Sequence[XCom], sources: Sequence[OutputSource]) -> Outputs:
        """Return the outputs of a run.

        Each task may publish outputs in an XCom ``mljob_outputs``, a JSON object. If several tasks
        publish an output of the same name, the task that pushed last wins. An output of ``sources``
        replaces a published output of the same name. For a mapped task in ``sources``, the output
        is a list in the order of the map indexes.

        ``omitted`` of the result names the outputs that are missing, for one of these reasons:

        - The XCom is larger than ``MAX_XCOM_BYTES``, is in an object store, or was deleted while
          the outputs were read.
        - Together with the XComs that were read before, the XCom exceeds ``MAX_RUN_BYTES``.
        - The XCom was not read within ``MAX_SECONDS`` (30).
        - More than ``MAX_XCOMS`` mapped task instances have pushed the XCom of an entry in
          ``sources``. None of these XComs is read.
        - More than ``MAX_XCOMS`` tasks or mapped task instances have pushed an XCom
          ``mljob_outputs``. Only ``MAX_XCOMS`` of these XComs are read, and ``omitted`` has the
          text ``mljob_outputs of more than 1000 tasks``.
        - A task has called ``mljob_airflow.publish_outputs`` with an output that can't be
          published, for example because it is too large. No later task has published the output.

        If the XCom ``mljob_outputs`` of a task ``train`` can't be read, ``omitted`` has a text
        that begins with ``mljob_outputs of train``. If the XCom of an entry in ``sources`` does not
        exist, ``omitted`` does not mention the entry.

        Args:
            dag_id: The DAG.
            run_id: The run.
            published: The XComs ``mljob_outputs`` (:meth:`published`).
            sources: The entries of ``spec.outputs``. Each names an output, a task and an XCom key.
        """
        reading = _Reading(dag_id, run_id, MAX_RUN_BYTES, time.monotonic() + MAX_SECONDS)
        values: dict[str, Any] = {}
        left_out: dict[str, None] = {}
        for _, value in self._entries(reading, published, OUTPUTS_KEY, name=None):
            if isinstance(value, dict):
                names = _names(value.pop(OMITTED_KEY, None))
                _replace(values, value, left_out)
                _replace(left_out, names, values)
        for source in sources:
            if reading.is_late:
                reading.omitted.append(f"{source.name} {TOO_SLOW}")
                continue
            xcoms = self._list(dag_id, run_id, source.task_id, source.key)
            found = sorted(
                self._entries(reading, xcoms, source.key, name=source.name), key=lambda entry: entry[0].map_index
            )
            if found:
                mapped = any(xcom.map_index >= 0 for xcom, _ in found)
                values[source.name] = [value for _, value in found] if mapped else found[0][1]
                left_out.pop(source.name, None)
        return Outputs(values, tuple(dict.fromkeys((*reading.omitted, *left_out))))

    def _entries(
        self, reading: _Reading, xcoms: Sequence[XCom], key: str, *, name: str | None
    ) -> list[tuple[XCom, Any]]:
        """Return XComs with their values, in the order in which the XComs were pushed. If XComs are
        left out of the result, add texts to ``reading.omitted``.

        Args:
            reading: The state of reading the run's outputs.
            xcoms: The XComs (:meth:`_list`).
            key: The key of the XComs.
            name: The name of the output in ``spec.outputs``, or None for the key ``mljob_outputs``.
                With a name, the result is empty if at least one XCom can't be read, or if there are
                more than ``MAX_XCOMS`` XComs. With None, the result has all readable XComs among
                the first ``MAX_XCOMS`` XComs that Airflow lists.
        """
        found = []
        if len(xcoms) > MAX_XCOMS:
            reading.omitted.append(name or f"{OUTPUTS_KEY} of more than {MAX_XCOMS} tasks")
            if name is not None:
                return []
        # Airflow 3.1 ignores order_by and sorts by task id, so the XComs are sorted again here.
        for xcom in sorted(xcoms[:MAX_XCOMS], key=lambda xcom: xcom.pushed):
            try:
                found.append((xcom, self._value(reading, xcom, key)))
            except _Omitted as why:
                reading.omitted.append(f"{name or f'{OUTPUTS_KEY} of {xcom.task_id}'} {why}".rstrip())
                if name is not None:
                    return []
        return found

    def _list(self, dag_id: str, run_id: str, task_id: str, key: str) -> list[XCom]:
        """Request a list of the XComs of a run that have the key ``key``. The list has at most
        ``MAX_XCOMS`` + 1 items, so that the caller can see whether there are more than
        ``MAX_XCOMS``.

        Args:
            dag_id: The DAG.
            run_id: The run.
            task_id: The task that has pushed the XComs, or ``~`` for all tasks of the run.
            key: The key of the XComs.
        """
        rows = self._session.lists.rows(
            "xcom_entries",
            self._xcoms.get_xcom_entries_without_preload_content,
            dag_id,
            run_id,
            task_id,
            xcom_key=key,
            order_by=["timestamp"],
        )
        return [
            XCom(row.text("task_id"), row.number("map_index"), row.time("timestamp"))
            for row in islice(rows, MAX_XCOMS + 1)
        ]

    def _value(self, reading: _Reading, xcom: XCom, key: str) -> Any:
        """Request the value of an XCom.

        Raises:
            _Omitted: The XCom is left out of the outputs.
        """
        if reading.is_late:
            raise _Omitted(TOO_SLOW)
        limit = min(MAX_XCOM_BYTES, reading.room)
        try:
            entry = self._values.get(reading.dag_id, reading.run_id, xcom.task_id, xcom.map_index, key, max_bytes=limit)
        except Absent:
            # The list had the XCom, so it was deleted in the meantime.
            raise _Omitted(DELETED) from None
        except TooLarge:
            raise _Omitted from None
        reading.room -= entry.size
        if stored_elsewhere(entry.value, reading.dag_id, reading.run_id, xcom.task_id):
            raise _Omitted(IN_A_STORE)
        return entry.value


def _names(value: Any) -> dict[str, None]:
    names = value[:MAX_OMITTED] if isinstance(value, list) else []
    return {name: None for name in names if isinstance(name, str)}


def _replace(target: dict[str, Any], newer: dict[str, Any], other: dict[str, Any]) -> None:
    """Add the entries of ``newer`` to ``target``, and remove entries with the same names from
    ``other``.
    """
    target |= newer
    for name in newer:
        other.pop(name, None)
