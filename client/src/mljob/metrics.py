"""Pure functions that return the metrics of a run as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .resource import MLJob

if TYPE_CHECKING:
    import pandas

    from mljob_contract.history import HistoryEntry

COLUMNS = ("time", "task", "map_index", "try_number")
"""The columns before the columns of the metrics."""
LAST_REPORTS_ONLY = (
    "mljob-api is not installed in this cluster, so metrics() has only the last report of each task. For all reports, "
    "install the chart with api.enabled=true."
)
"""The warning of ``Job.metrics`` if there is no history to read."""


def rows_of_history(entries: Iterable[HistoryEntry]) -> list[dict[str, Any]]:
    """Return a row for each report of metrics. A metric that has the name of one of :data:`COLUMNS`
    gets the prefix ``metric_``.
    """
    return [
        _row(entry.time, entry.task_id, entry.map_index, entry.try_number, entry.metrics)
        for entry in entries
        if entry.kind == "metrics"
    ]


def rows_of_status(job: MLJob) -> list[dict[str, Any]]:
    """Return a row for each task that has metrics in the MLJob's status. The row has the last
    metrics of the task. The time in each row is ``status.lastEventTime``, the time of the newest
    change in the status.
    """
    status = job.status
    return [
        _row(status.last_event_time, task.task_id, -1, task.try_number, task.metrics)
        for task in status.tasks or ()
        if task.metrics
    ]


def table_of(rows: list[dict[str, Any]]) -> pandas.DataFrame | list[dict[str, Any]]:
    """Return rows as a pandas DataFrame, or unchanged if pandas is not installed."""
    if find_spec("pandas") is None:
        return rows
    import pandas

    return pandas.DataFrame(rows, columns=list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])))


def _row(time: Any, task: str, map_index: int, try_number: int, metrics: dict[str, float]) -> dict[str, Any]:
    named = {f"metric_{name}" if name in COLUMNS else name: value for name, value in metrics.items()}
    return {"time": time, "task": task, "map_index": map_index, "try_number": try_number, **named}
