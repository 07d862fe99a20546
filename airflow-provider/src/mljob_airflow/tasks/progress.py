"""Progress from inside a running task: how far it is, and the numbers worth watching.

A training loop may report after every batch; a status needs a few reports a second at most. So reports are thinned out:
one is sent at once and the next not before :data:`MIN_INTERVAL_SECONDS` have passed. What came in between is not lost
but kept, the newest number of each name, and goes with the next report, or just before the event of the task's end.

Each number is checked by itself: one that can't be sent is left out and named in the task's log, and the rest is sent.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mljob_airflow.compatibility import assert_supported, installed_version
from mljob_airflow.tasks import omissions
from mljob_contract.events import EventName, TaskEvent

assert_supported(installed_version())

log = logging.getLogger(__name__)

MIN_INTERVAL_SECONDS = 0.5
"""Between two reports of one task: what a person watching can tell apart, and two status writes a second at most."""
MAX_METRICS = 20
MAX_METRIC_NAME_LENGTH = 63
ROUNDING = 1e-6
"""How far a sum of fractions may be beside 0 or 1; that is cut."""

TaskKey = tuple[str, str, str, int, int]


def report(progress: float | None = None, metrics: Mapping[str, float] | None = None) -> None:
    """Tell how far the running task is.

    Cheap enough to call in a loop, and it never raises and never waits. Outside of an Airflow task it does nothing, so
    that the same training code runs anywhere.

    Args:
        progress: Fraction of this task's work that is done, from 0 to 1: 0.5 is half of it, and 50 is left out. ``None``: unchanged.
        metrics: Numbers to show beside it, such as epoch, loss, rows written: at most 20 names, each cut to 63 characters.

    What can't be sent is left out with a warning in the task's log, once: what is no number, NaN, an infinity, a progress that is not
    from 0 to 1, names beyond the 20th. The rest is sent. NumPy's numbers are numbers.
    """
    context = _current_context()
    if context is None:
        log.debug("Not in an Airflow task: nobody to report progress to.")
        return

    from mljob_airflow import settings
    from mljob_airflow.events import producer
    from mljob_airflow.events.callbacks import event_from_context

    with producer.harmless("progress report"):
        share, numbers = clean_progress(progress), clean_metrics(metrics)
        if share is None and numbers is None:
            return
        event = event_from_context(
            EventName.TASK_PROGRESS, context, source=settings.source(), now=datetime.now(UTC)
        ).model_copy(update={"progress": share, "metrics": numbers})
        due = _throttle.offer(event, now=time.monotonic())
        if due is not None:
            producer.send(due)


def take_pending(end: TaskEvent) -> TaskEvent | None:
    """The report of the task instance that ``end`` is about which still waits to be sent; it is then forgotten."""
    return _throttle.take(end)


def clean_progress(progress: object) -> float | None:
    """``progress`` as an event carries it: a number from 0 to 1. Anything else is left out, with a warning."""
    if progress is None:
        return None
    try:
        share = _number(progress)
        if not -ROUNDING <= share <= 1 + ROUNDING:
            raise ValueError("progress is a fraction from 0 to 1, and half of the work is 0.5")
    except ValueError as error:
        omissions.warn("report(): progress", str(error), value=progress)
        return None
    return min(1.0, max(0.0, share))


def clean_metrics(metrics: object) -> dict[str, float] | None:
    """``metrics`` as an event carries them: finite numbers, bounded in count and in the length of their names. What is no such number, and
    names beyond the bound, are left out, with a warning.
    """
    if metrics is None:
        return None
    if not isinstance(metrics, Mapping):
        omissions.warn("report(): metrics", f"{omissions.kind(metrics)} is not a dict of names and numbers")
        return None
    kept: dict[str, float] = {}
    for given, value in metrics.items():
        try:
            name, number = _name(given), _number(value)
            if name not in kept and len(kept) == MAX_METRICS:
                raise ValueError(f"a report has at most {MAX_METRICS} metrics")
        except Exception as error:
            omissions.warn(f"report(): metric {omissions.shown(given)}", str(error))
        else:
            kept[name] = number
    return kept or None


def _number(value: object) -> float:
    """A number of Python's, NumPy's or a tensor's with one element.

    Raises:
        ValueError: It is none, or JSON can't say it.
    """
    item = getattr(value, "item", None)
    try:
        plain: Any = item() if callable(item) else value
        # A text of digits is a text, though float() would read it.
        number = None if isinstance(plain, str | bytes | bytearray) else float(plain)
    except Exception:
        number = None
    if number is None:
        raise ValueError(f"{omissions.kind(value)} is not a number")
    if not math.isfinite(number):
        raise ValueError(f"JSON has no {number}")
    return number


def _name(given: object) -> str:
    name = str(given).encode("utf-8", "replace").decode()[:MAX_METRIC_NAME_LENGTH]
    if not name:
        raise ValueError("a metric needs a name")
    return name


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
