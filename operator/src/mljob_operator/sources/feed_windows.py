"""Decides how old the changes may be that a pass over a change feed requests.

A transaction of Airflow sets ``updated_at`` before the transaction ends, and the change becomes
visible only at the end. So each pass also requests changes that are older than an earlier pass: the
passes overlap. A change stays unnoticed if its transaction takes longer than the overlap. Airflow's
scheduler changes up to 20 runs and all their tasks in one transaction (the setting ``[scheduler]
max_dagruns_per_loop_to_schedule``). On two busy cores, such a transaction took 13 seconds.

A full pass begins at least every ``interval``. The overlap of full passes is as long as a few pages
of changes allow. The passes between two full passes are quick: they look for changes that the
operator expects at this moment, and the next full pass requests the same changes again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ..core.frozen import frozen
from ..core.run.task_merging import GRACE

SKEW = timedelta(seconds=5)
"""The largest tolerated difference between the clocks of Airflow's hosts. One host queues a run,
and other hosts change the run's task instances.
"""
OVERLAP = timedelta(seconds=12)
"""The shortest overlap of two full passes. This must be longer than twice ``GRACE``, so that a full
pass repeats an answer that an event has held back.
"""
LONGEST_OVERLAP = timedelta(seconds=60)
"""The overlap of two full passes while Airflow changes little."""
QUICK_OVERLAP = SKEW
"""The overlap of a quick pass and the pass before it."""
REPEATED_CHANGES = 300
"""About how many changes a full pass may repeat with an overlap that is longer than ``OVERLAP``:
three pages.
"""

assert OVERLAP > 2 * GRACE


@frozen
class Window:
    """The time from which a pass requests all changes.

    Attributes:
        since: The time on Airflow's clock.
        is_full: Whether the pass is full.
        started: When the pass began, on the operator's clock.
    """

    since: datetime
    is_full: bool
    started: datetime


class FeedWindows:
    """The windows of successive passes over the change feed of one Airflow.

    Args:
        interval: Seconds between two full passes.
    """

    def __init__(self, interval: float) -> None:
        self._interval = timedelta(seconds=interval)
        self._overlap = OVERLAP
        self._full_started: datetime | None = None
        self._full_watermark: datetime | None = None
        self._watermark: datetime | None = None

    def next(self, now: datetime) -> Window | None:
        """Return the window of a pass that begins ``now``, on the operator's clock. Return None if
        no pass has succeeded yet.
        """
        if self._full_started is None or self._full_watermark is None or self._watermark is None:
            return None
        # The first comparison fails if the clock was set back.
        if self._full_started <= now < self._full_started + self._interval:
            return Window(self._watermark - QUICK_OVERLAP, is_full=False, started=now)
        return Window(self._full_watermark - self._overlap, is_full=True, started=now)

    def passed(self, window: Window, clock_offset: timedelta, changes: int | None) -> None:
        """Note that a pass has succeeded.

        Args:
            window: The window of the pass.
            clock_offset: Airflow's clock minus the operator's clock.
            changes: How many changes the pass has read. None if a list was too long to be read.
        """
        self._watermark = window.started + clock_offset
        if window.is_full:
            self._full_started, self._full_watermark = window.started, self._watermark
            self._overlap = _overlap(changes, self._watermark - window.since)


def _overlap(changes: int | None, duration: timedelta) -> timedelta:
    """Return the time in which Airflow makes about ``REPEATED_CHANGES`` changes, but at least
    ``OVERLAP`` and at most ``LONGEST_OVERLAP``.

    Args:
        changes: How many changes Airflow has made in ``duration``. None if too many to be read.
        duration: A time.
    """
    if changes is None:
        return OVERLAP
    overlap = duration * REPEATED_CHANGES / changes if changes else LONGEST_OVERLAP
    return min(max(overlap, OVERLAP), LONGEST_OVERLAP)
