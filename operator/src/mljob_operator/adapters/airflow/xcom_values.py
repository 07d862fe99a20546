"""Converts the stored values of XComs to plain JSON.

Airflow stores a value without a JSON form, such as a tuple or a time, as an object with the name of
the Python class. An XCom backend may keep a large value in an object store. Airflow then stores
only the value's path.

Sources: ``airflow/sdk/serde``; ``XComObjectStorageBackend`` of the provider common.io.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

CLASS, DATA = "__classname__", "__data__"
MAX_LEVELS = 64
"""The maximum number of nested levels that are converted. A status can't hold values with more
levels."""

_TIMES = frozenset({"datetime.datetime", "pendulum.datetime.DateTime"})
_STORED = re.compile(r"[a-z][a-z0-9+.-]*://.*/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.\w+)?")


def plain(value: Any) -> Any:
    """Convert a stored value to plain JSON. If the value is a JSON text, the text is parsed first.
    Any other text is returned unchanged.

    Tuples and sets become lists, and ``datetime`` objects become texts in ISO 8601. Objects of
    other classes become the data that Airflow has stored for them. Values that are nested deeper
    than ``MAX_LEVELS`` levels stay as they are.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            # The string itself is the value. Older versions of Airflow stored the value, not its
            # JSON text.
            return value
    return _unwrapped(value, 0)


def stored_elsewhere(value: Any, dag_id: str, run_id: str, task_id: str) -> bool:
    """Return whether ``value``, the value of a task's XCom, looks like the URL of a file that
    Airflow has written for this task to an object store. Then the file has the actual value.
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
    seconds: Any = data.get("timestamp") if isinstance(data, dict) else data
    try:
        moment = datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return moment.isoformat().replace("+00:00", "Z")
