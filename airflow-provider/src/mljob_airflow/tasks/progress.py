"""Reports progress and metrics of the running task.

Each number is checked by itself. A number that can't be sent is left out, and the task's log has a
warning about the number (:mod:`.omissions`). The other numbers are sent.
:mod:`mljob_airflow.events.throttle` decides when a report is sent.
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
    Outside of an Airflow task the function does nothing, so the same training code runs anywhere.

    Args:
        progress: The fraction of this task's work that is done, from 0 to 1: half of the work is
            0.5. With ``None``, the report has no progress, and the progress in the status stays the
            same.
        metrics: The numbers to show with the progress, such as the epoch, the loss or the rows
            written: a dict from names to numbers. At most 20 numbers are sent, and their names are
            cut to 63 characters. NumPy numbers are allowed.

    A value that can't be sent is left out, with one warning in the task's log, and the other values
    are sent. These values can't be sent: a value that is not a number, NaN, an infinity, a progress
    outside of 0 to 1 (such as 50), a metric with an empty name, and every metric after the 20th.
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
    """Check the progress that a task reports, and return the progress as a number from 0 to 1. A
    value outside of this range by at most ``ROUNDING`` is allowed.

    Return ``None`` if ``progress`` is ``None`` or invalid. An invalid value is logged
    (:func:`.omissions.warn`).
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
    """Return the metrics that can be sent, by name: at most 20 finite numbers. Names are cut to 63
    characters.

    The metrics that can't be sent are left out and logged (:func:`.omissions.warn`). Return
    ``None`` if no metric is left, or if ``metrics`` is ``None`` or not a dict.
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
    """Convert a number to a float. ``value`` may also be a NumPy number, or a tensor with one
    element.

    Raises:
        ValueError: ``value`` is not a number, or is NaN or an infinity, which JSON doesn't have.
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
