"""Progress from inside a running task: how far it is, and the numbers worth watching.

A training loop may report after every batch; a status needs a few reports a second at most. So reports are thinned out:
one is sent at once and the next not before :data:`MIN_INTERVAL_SECONDS` have passed. What came in between is not lost
but kept, the newest number of each name, and goes with the next report, or just before the event of the task's end.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mljob_airflow.compatibility import assert_supported, installed_version
from mljob_contract.events import EventName, TaskEvent

assert_supported(installed_version())

log = logging.getLogger(__name__)

MIN_INTERVAL_SECONDS = 0.5
"""Between two reports of one task: what a person watching can tell apart, and two status writes a second at most."""
MAX_METRICS = 20
MAX_METRIC_NAME_LENGTH = 63

TaskKey = tuple[str, str, str, int, int]


def report(progress: float | None = None, metrics: Mapping[str, float] | None = None) -> None:
    """Tell how far the running task is.

    Cheap enough to call in a loop, and it never raises and never waits. Outside of an Airflow task it does nothing, so
    that the same training code runs anywhere.

    Args:
        progress: Share of this task's work that is done, 0 to 1; what lies outside is cut. ``None``: unchanged.
        metrics: Numbers to show beside it, such as epoch, loss, rows written: at most 20 names of at most 63 characters.
            Numbers that JSON can't say (NaN, infinity) are left out.
    """
    context = _current_context()
    if context is None:
        log.debug("Not in an Airflow task: nobody to report progress to.")
        return

    from mljob_airflow import producer, settings
    from mljob_airflow.callbacks import event_from_context

    with producer.harmless("progress report"):
        event = event_from_context(
            EventName.TASK_PROGRESS, context, source=settings.source(), now=datetime.now(UTC)
        ).model_copy(update={"progress": clean_progress(progress), "metrics": clean_metrics(metrics)})
        due = _throttle.offer(event, now=time.monotonic())
        if due is not None:
            producer.send(due)


def take_pending(end: TaskEvent) -> TaskEvent | None:
    """The report of the task instance that ``end`` is about which still waits to be sent; it is then forgotten."""
    return _throttle.take(end)


def clean_progress(progress: float | None) -> float | None:
    """``progress`` as an event carries it: a finite number, cut to 0 to 1."""
    if progress is None or not math.isfinite(progress):
        return None
    return min(1.0, max(0.0, float(progress)))


def clean_metrics(metrics: Mapping[str, float] | None) -> dict[str, float] | None:
    """``metrics`` as an event carries them: finite numbers, bounded in count and in the length of their names."""
    if not metrics:
        return None
    finite = {
        str(name)[:MAX_METRIC_NAME_LENGTH]: float(value) for name, value in metrics.items() if math.isfinite(value)
    }
    return dict(list(finite.items())[:MAX_METRICS]) or None


@dataclass
class _Reported:
    sent_at: float
    pending: TaskEvent | None = None


class Throttle:
    """Lets through at most one report per task instance and interval, and keeps the newest of the others."""

    def __init__(self, min_interval: float = MIN_INTERVAL_SECONDS) -> None:
        self._min_interval = min_interval
        self._reported: dict[TaskKey, _Reported] = {}

    def offer(self, event: TaskEvent, *, now: float) -> TaskEvent | None:
        """The report to send now, or ``None`` when ``event`` has to wait.

        Args:
            event: A progress report.
            now: Seconds, on a clock that never goes back.
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
        """Forget the task instance of ``end``, and give back its waiting report, if there is one."""
        last = self._reported.pop(_key(end), None)
        return last.pending if last else None


_throttle = Throttle()


def _merge(older: TaskEvent | None, newer: TaskEvent) -> TaskEvent:
    if older is None:
        return newer
    metrics = {**(older.metrics or {}), **(newer.metrics or {})}
    return newer.model_copy(
        update={
            "progress": older.progress if newer.progress is None else newer.progress,
            # Re-checked: two reports with different names may be more than one event may carry.
            "metrics": dict(list(metrics.items())[-MAX_METRICS:]) or None,
        }
    )


def _key(event: TaskEvent) -> TaskKey:
    return event.dag_id, event.run_id, event.task_id, event.map_index, event.try_number


def _current_context() -> Mapping[str, object] | None:
    try:
        from airflow.sdk import get_current_context

        context: Mapping[str, object] = get_current_context()
    except Exception:
        # Airflow is not installed, or this is not a task: either way there is nobody to tell.
        return None
    return context
