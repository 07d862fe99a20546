"""Decides how old the changes may be that a pass over a change feed requests.

A transaction of Airflow sets ``updated_at`` before the transaction ends, and the change becomes
visible only at the end. So each pass also requests changes from before the previous pass: the
passes overlap. A change stays unnoticed if its transaction takes longer than the overlap. Airflow's
scheduler changes up to 20 runs and all their tasks in one transaction (the setting ``[scheduler]
max_dagruns_per_loop_to_schedule``). On two busy cores, such a transaction took 13 seconds.

The usual overlap is ``OVERLAP``. The first pass that begins ``interval`` or more after a wide pass
is wide, too: its overlap with the earlier wide pass is as long as a few pages of rows allow.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ..core.frozen import frozen
from ..core.run.task_merging import GRACE

OVERLAP = timedelta(seconds=12)
"""The usual overlap, and the shortest overlap of two wide passes. This must be longer than twice
``GRACE``, so that a pass repeats an answer that an event has held back.
"""
LONGEST_OVERLAP = timedelta(seconds=60)
"""The overlap of two wide passes while Airflow lists few changes."""
REPEATED_ROWS = 300
"""About how many rows a wide pass may read again with an overlap that is longer than ``OVERLAP``:
three pages.
"""

assert OVERLAP > 2 * GRACE


@frozen
class Window:
    """The time since which a pass requests all changes.

    Attributes:
        since: The time on Airflow's clock.
        is_wide: Whether the pass is wide.
        started: When the pass began, on the operator's clock.
    """

    since: datetime
    is_wide: bool
    started: datetime


class FeedWindows:
    """The windows of successive passes over the change feed of one Airflow.

    Args:
        interval: Seconds between two wide passes.
    """

    def __init__(self, interval: float) -> None:
        self._interval = timedelta(seconds=interval)
        self._overlap = OVERLAP
        self._wide_started: datetime | None = None
        self._wide_watermark: datetime | None = None
        self._watermark: datetime | None = None

    def next(self, now: datetime) -> Window | None:
        """Return the window of a pass that begins ``now``, on the operator's clock. Return None if
        no pass has succeeded yet.
        """
        if self._wide_started is None or self._wide_watermark is None or self._watermark is None:
            return None
        since = self._watermark - OVERLAP
        # The first comparison fails if the clock was set back.
        if self._wide_started <= now < self._wide_started + self._interval:
            return Window(since, is_wide=False, started=now)
        return Window(min(since, self._wide_watermark - self._overlap), is_wide=True, started=now)

    def passed(self, window: Window, clock_offset: timedelta, rows: int | None) -> None:
        """Note that a pass has succeeded.

        Args:
            window: The window of the pass.
            clock_offset: Airflow's clock minus the operator's clock.
            rows: How many rows the pass has read, including the changes of other runs than the
                operator's. None if a list was too long to be read.
        """
        self._watermark = window.started + clock_offset
        if window.is_wide:
            self._wide_started, self._wide_watermark = window.started, self._watermark
            self._overlap = _overlap(rows, self._watermark - window.since)


def _overlap(rows: int | None, duration: timedelta) -> timedelta:
    """Return the time in which Airflow makes about ``REPEATED_ROWS`` changes, but at least
    ``OVERLAP`` and at most ``LONGEST_OVERLAP``.

    Args:
        rows: How many changes Airflow has made in ``duration``. None if too many to be read.
        duration: A time.
    """
    if rows is None:
        return OVERLAP
    overlap = duration * REPEATED_ROWS / rows if rows else LONGEST_OVERLAP
    return min(max(overlap, OVERLAP), LONGEST_OVERLAP)
