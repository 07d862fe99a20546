"""Limits how many progress reports a task sends.

After a report was sent, reports of the same try are held back for :data:`MIN_INTERVAL_SECONDS`. The
first report after this time is merged with the reports that were held back, and is sent. A merged
report has the newest progress and the newest value of each metric, but at most :data:`MAX_METRICS`
metrics. When the try ends, the reports that are still held back are sent as one merged report,
before the event about the end.

A forked process has a throttle of its own. The reports that its parent holds back stay with the
parent.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from mljob_contract.events import TaskEvent

MIN_INTERVAL_SECONDS = 0.5
"""The minimum number of seconds between two reports of a task. The status is written at most twice
a second, so more reports would have no effect."""
MAX_METRICS = 20
"""The maximum number of metrics in one report."""

TaskKey = tuple[str, str, str, int, int]


@dataclass
class _Reported:
    sent_at: float
    pending: TaskEvent | None = None


class Throttle:
    """Limits the progress reports of each try of a task instance to one in ``min_interval``
    seconds. Further reports are held back, and merged into the next report that is sent.
    """

    def __init__(self, min_interval: float = MIN_INTERVAL_SECONDS) -> None:
        self._min_interval = min_interval
        self._reported: dict[TaskKey, _Reported] = {}

    def offer(self, event: TaskEvent, *, now: float) -> TaskEvent | None:
        """Return the report to send now: ``event``, merged with the reports that were held back for
        the same try. Return ``None`` if ``event`` is held back.

        Args:
            event: The progress report.
            now: The time on a monotonic clock, in seconds.
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
        """Remove and return the merged report that was held back for a try. Return ``None`` if no
        report was held back.

        Args:
            end: The event about the end of the try.
        """
        last = self._reported.pop(_key(end), None)
        return last.pending if last else None

    def take_all(self) -> list[TaskEvent]:
        """Remove and return the merged reports that were held back, one for each try with such
        reports.
        """
        held_back = [last.pending for last in self._reported.values() if last.pending]
        self.clear()
        return held_back

    def clear(self) -> None:
        """Forget all reports."""
        self._reported.clear()


reports = Throttle()
"""The throttle of this process."""
if sys.platform != "win32":
    # Windows has no fork.
    os.register_at_fork(after_in_child=lambda: reports.clear())


def _merge(older: TaskEvent | None, newer: TaskEvent) -> TaskEvent:
    if older is None:
        return newer
    latest = newer.metrics or {}
    # A metric that is reported again moves to the end, among the newest metrics.
    metrics = {name: value for name, value in (older.metrics or {}).items() if name not in latest} | latest
    return newer.model_copy(
        update={
            "progress": older.progress if newer.progress is None else newer.progress,
            # Reports with different names may have more metrics together than one event may carry.
            # The newest metrics are kept.
            "metrics": dict(list(metrics.items())[-MAX_METRICS:]) or None,
        }
    )


def _key(event: TaskEvent) -> TaskKey:
    return event.dag_id, event.run_id, event.task_id, event.map_index, event.try_number
