"""Thinning out the progress reports of a task.

A training loop may report after every batch, but a status needs a few reports a second at most. The
throttle lets one report pass and then none until :data:`MIN_INTERVAL_SECONDS` have passed. It
merges the reports in between, the newest number of each name, and adds them to the next report. The
last ones are sent just before the event of the task's end.
"""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.events import TaskEvent

MIN_INTERVAL_SECONDS = 0.5
"""Seconds between two reports of a task. A person can't tell shorter intervals apart, and the
status is written at most twice a second.
"""
MAX_METRICS = 20
"""Metrics in one report."""

TaskKey = tuple[str, str, str, int, int]


@dataclass
class _Reported:
    sent_at: float
    pending: TaskEvent | None = None


class Throttle:
    """Lets at most one report per task instance and interval pass, and merges the others."""

    def __init__(self, min_interval: float = MIN_INTERVAL_SECONDS) -> None:
        self._min_interval = min_interval
        self._reported: dict[TaskKey, _Reported] = {}

    def offer(self, event: TaskEvent, *, now: float) -> TaskEvent | None:
        """The report to send now; ``None`` when ``event`` has to wait.

        Args:
            event: A progress report.
            now: Seconds on a monotonic clock.
        """
        key = _key(event)
        last = self._reported.get(key)
        if last is None:
            self._reported[key] = _Reported(sent_at=now)
            return event
        merged = _merge(last.pending, event)
        if now - last.sent_at < self._min_interval:
            last.pending = merged
            return None
        self._reported[key] = _Reported(sent_at=now)
        return merged

    def take(self, end: TaskEvent) -> TaskEvent | None:
        """The waiting report of the task instance that ``end`` is about, or ``None``. The throttle
        then forgets the task instance.
        """
        last = self._reported.pop(_key(end), None)
        return last.pending if last else None


reports = Throttle()
"""The throttle of this process."""


def _merge(older: TaskEvent | None, newer: TaskEvent) -> TaskEvent:
    if older is None:
        return newer
    metrics = {**(older.metrics or {}), **(newer.metrics or {})}
    return newer.model_copy(
        update={
            "progress": older.progress if newer.progress is None else newer.progress,
            # Two reports with different names may have more metrics together than one event may
            # carry.
            "metrics": dict(list(metrics.items())[-MAX_METRICS:]) or None,
        }
    )


def _key(event: TaskEvent) -> TaskKey:
    return event.dag_id, event.run_id, event.task_id, event.map_index, event.try_number
