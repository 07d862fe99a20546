"""When a duration has left its own past.

A task is compared with itself, never with others. Three things are known of durations and of waits: they are skewed, with a long right
tail; a few of them are always odd; and some tasks have two ways of going (nothing to do, much to do). Hence:

- *Logarithms.* On that scale skewed durations are about symmetric, and "twice as long" is the same distance for a minute and for an hour.
- *Median and MAD* (the median of the distances from the median, times 1.4826 to be a standard deviation where all is normal) of the past.
  Half of the past may be odd without moving them; with mean and standard deviation one hour-long hang hides the next.
- *What was there before as a second bound*: a task that takes long every tenth time has a small MAD, and is no news when it does. A shift has to be
  a quarter above the past's 95% quantile as well, a single run half above the longest of the past.
- *A floor under the spread*: a task that always takes 60.0 s must not be reported for 61.

A task has left its past when two of its last three runs, the newest among them, are above ``max(median * exp(3 * spread), 1.25 * 95% quantile)``, or
the newest alone is above ``max(median * exp(6 * spread), 1.5 * longest)``: one odd run is not a shift, a hang is one. With the floor, the first
means at least 1.5 times the median, the second 2.3 times. How often stable noise is mistaken for a shift, and how soon a shift is seen, is simulated in
``tests/unit/airflow_provider/monitoring/test_statistics.py`` and told in ``docs/monitoring.md``.

Literature: Leys et al., "Detecting outliers: Do not use standard deviation around the mean, use absolute deviation around the median", 2013;
Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAD_TO_SIGMA = 1.4826
SHIFT = 3.0
"""Spreads above the median from which on a run counts towards a shift."""
HANG = 6.0
"""Spreads above the median from which on one run is enough."""
ABOVE_HIGH = 1.25
"""How far above the past's 95% quantile a run is that counts towards a shift."""
ABOVE_LONGEST = 1.5
"""How far above the longest of the past a run is that is enough by itself."""
MIN_SPREAD = 0.14
"""Of the logarithms: about 15%."""
MIN_SECONDS = 1.0
"""Shorter times count as this: below a second Airflow's own jitter is all there is."""
RECENT = 3
"""How many of the newest values are judged; the others are the past."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is usual, in seconds; ``spread`` is of the logarithms."""

    median: float
    spread: float
    high: float
    """The 95% quantile."""
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Past:
        """The past that the values tell of; at least one is needed."""
        logs = sorted(math.log(max(value, MIN_SECONDS)) for value in values)
        centre = quantile(logs, 0.5)
        deviations = sorted(abs(value - centre) for value in logs)
        spread = max(MAD_TO_SIGMA * quantile(deviations, 0.5), MIN_SPREAD)
        return cls(math.exp(centre), spread, math.exp(quantile(logs, 0.95)), math.exp(logs[-1]))

    @property
    def limit(self) -> float:
        """Seconds above which a run counts towards a shift."""
        return max(self.median * math.exp(SHIFT * self.spread), ABOVE_HIGH * self.high)

    @property
    def hang(self) -> float:
        """Seconds above which a single run is enough."""
        return max(self.median * math.exp(HANG * self.spread), ABOVE_LONGEST * self.longest)


def left_its_past(values: Sequence[float], *, min_history: int) -> Past | None:
    """The past that the newest values have left, or ``None`` when they have not, or when there is too little of it.

    Args:
        values: Seconds, the newest first.
        min_history: How many values the past must have.
    """
    recent, earlier = values[:RECENT], values[RECENT:]
    if len(earlier) < max(min_history, 1):
        return None
    past = Past.of(earlier)
    above = [value > past.limit for value in recent]
    shifted = above[0] and sum(above) >= 2
    return past if shifted or recent[0] > past.hang else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of sorted values, interpolated between neighbours."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
