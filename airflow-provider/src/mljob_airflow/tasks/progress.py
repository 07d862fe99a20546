"""Reports progress and metrics of the running task. :mod:`mljob_airflow.events.throttle` decides
when a report is sent.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mljob_airflow.compatibility import assert_supported, installed_version
from mljob_airflow.events import throttle
from mljob_airflow.tasks import omissions
from mljob_airflow.tasks.names import status_name
from mljob_contract.events import EventName

assert_supported(installed_version())

log = logging.getLogger(__name__)

ROUNDING = 1e-6
"""A progress that is at most this much below 0 or above 1 is sent as 0 or 1, because sums of
fractions may differ from 0 or 1 by rounding.
"""


def report(progress: float | None = None, metrics: Mapping[str, float] | None = None) -> None:
    """Report progress and metrics of the running task.

    The function never raises an exception and never waits for Kafka, so a loop can call it often.
    Outside of an Airflow task the function does nothing. A process that the task forks can report if
    the task has sent an event before: its start (:func:`.mljob_callbacks`), or a report. The last
    reports of such a process are sent when the process ends, and are lost if a signal ends the
    process.

    Args:
        progress: The fraction of this task's work that is done, from 0 to 1. With ``None``, the
            progress in the MLJob's status stays the same.
        metrics: Numbers by name, such as the epoch or the loss. At most 20 are sent, and names are
            cut to 63 characters. NumPy numbers are allowed.

    Values that can't be sent are left out: a value that is not a number, NaN, an infinity, a
    progress outside of 0 to 1 (such as 50), a metric with an empty name, and every metric after the
    20th. Each value that is left out causes a warning in the task's log. A warning with the same
    name and reason appears only once, and a process logs at most 50 warnings.
    """
    context = _current_context()
    if context is None:
        log.debug("Not in an Airflow task: progress is not reported.")
        return

    from mljob_airflow import settings
    from mljob_airflow.events import producer
    from mljob_airflow.events.callbacks import event_from_context

    with producer.logging_errors("progress report"):
        share, numbers = clean_progress(progress), clean_metrics(metrics)
        if share is None and numbers is None:
            return
        event = event_from_context(
            EventName.TASK_PROGRESS, context, source=settings.source(), now=datetime.now(UTC)
        ).model_copy(update={"progress": share, "metrics": numbers})
        due = throttle.reports.offer(event, now=time.monotonic())
        if due is not None:
            producer.send(due)


def clean_progress(progress: object) -> float | None:
    """Return the progress as a number from 0 to 1, or ``None`` if there is no valid progress. An
    invalid value is logged (:func:`.omissions.warn`).

    A value that is below 0 or above 1 by at most ``ROUNDING`` becomes 0 or 1.
    """
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
    """Return the valid metrics by name, or ``None`` if no metric is valid. At most 20 metrics are
    valid. Each invalid metric is logged (:func:`.omissions.warn`).
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
            if name not in kept and len(kept) == throttle.MAX_METRICS:
                raise ValueError(f"a report has at most {throttle.MAX_METRICS} metrics")
        except Exception as error:
            omissions.warn(f"report(): metric {omissions.shown(given)}", str(error))
        else:
            kept[name] = number
    return kept or None


def _number(value: object) -> float:
    """Convert a number, a NumPy number or a tensor with one element to a float.

    Raises:
        ValueError: ``value`` is not a number, or is NaN or an infinity.
    """
    item = getattr(value, "item", None)
    try:
        plain: Any = item() if callable(item) else value
        # A string of digits does not count as a number, although float() would accept it.
        number = None if isinstance(plain, str | bytes | bytearray) else float(plain)
    except Exception:
        number = None
    if number is None:
        raise ValueError(f"{omissions.kind(value)} is not a number")
    if not math.isfinite(number):
        raise ValueError(f"JSON has no {number}")
    return number


def _name(given: object) -> str:
    name = status_name(given)
    if not name:
        raise ValueError("a metric needs a name")
    return name


def _current_context() -> Mapping[str, object] | None:
    try:
        from airflow.sdk import get_current_context

        context: Mapping[str, object] = get_current_context()
    except Exception:
        # Airflow is not installed, or this code does not run in a task.
        return None
    return context
