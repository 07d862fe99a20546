"""Converts the stored values of XComs to plain JSON.

Airflow stores JSON. It wraps values without a JSON form (tuples, sets, times, NumPy numbers,
dataclasses) in an object that names the Python class. An XCom backend that keeps large values in an
object store stores their addresses instead.
Sources: ``airflow/sdk/serde``; ``XComObjectStorageBackend`` of the provider common.io.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

CLASS, DATA = "__classname__", "__data__"
MAX_LEVELS = 64
"""The most nested levels that are unwrapped; a status holds no deeper values."""

_TIMES = frozenset({"datetime.datetime", "pendulum.datetime.DateTime"})
_STORED = re.compile(r"[a-z][a-z0-9+.-]*://.*/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.\w+)?")


def plain(value: Any) -> Any:
    """Plain JSON: a list for a tuple or a set, a text in ISO 8601 for a time, the fields for an
    object of a class.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            # Rows of old versions hold JSON itself.
            return value
    return _unwrapped(value, 0)


def stored_elsewhere(value: Any, dag_id: str, run_id: str, task_id: str) -> bool:
    """Whether a value is the address under which an object-store backend keeps the XCom of this
    task, and not what the task pushed.
    """
    folder = f"/{dag_id}/{run_id}/{task_id}/"
    return isinstance(value, str) and folder in value and _STORED.fullmatch(value) is not None


def _unwrapped(value: Any, level: int) -> Any:
    if level > MAX_LEVELS:
        return value
    if isinstance(value, list):
        return [_unwrapped(item, level + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(kind := value.get(CLASS), str) or DATA not in value:
        return {key: _unwrapped(item, level + 1) for key, item in value.items()}
    data = value[DATA]
    if kind in _TIMES and (moment := _time(data)) is not None:
        return moment
    return _unwrapped(data, level + 1)


def _time(data: Any) -> str | None:
    """A time in UTC, in ISO 8601; None: the data is not a time."""
    seconds: Any = data.get("timestamp") if isinstance(data, dict) else data
    try:
        moment = datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return moment.isoformat().replace("+00:00", "Z")
