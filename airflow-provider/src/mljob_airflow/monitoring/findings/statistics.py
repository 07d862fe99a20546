"""Decides whether the duration or the wait of a task exceeds the baseline, which is made of the
task's earlier runs. The wait is the time for which a ready task waits for a slot and a worker.

A task exceeds the baseline in one of two ways:

- a shift: the newest run, and at least one of the two runs before it, are above ``max(median *
  exp(3 * spread), 1.25 * 95% quantile)``;
- a hang: the newest run is above ``max(median * exp(6 * spread), 1.5 * longest)``.

The baseline uses:

- *Logarithms.* Durations have a long right tail. On a logarithmic scale, they are about symmetric.
- *Median and MAD* (median absolute deviation) of the logarithms. Almost half of the values may be
  outliers without a large effect. The spread is the MAD, multiplied by 1.4826; for a normal
  distribution, this product equals the standard deviation.
- *Earlier extremes.* A task that takes long in every tenth run has a small MAD, although its long
  runs are normal. So a limit also depends on the 95% quantile or the longest earlier run.
- *A minimum spread.* A task that always takes 60 s has the MAD 0. Without a minimum, runs of 76 s
  would be a shift. With the minimum, a shift is at least 1.5 times the median, and a hang at least
  2.3 times.

``docs/monitoring.md`` states how often random variation looks like a shift, and how soon a real
shift is noticed. ``tests/unit/airflow_provider/monitoring/test_statistics.py`` simulates random
variation and real shifts.

Literature: Leys et al., "Detecting outliers: Do not use standard deviation around the mean, use
absolute deviation around the median", 2013; Iglewicz and Hoaglin, "How to Detect and Handle
Outliers", 1993.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAD_TO_SIGMA = 1.4826
"""The factor from the MAD to the standard deviation of a normal distribution."""
SHIFT = 3.0
"""A run of a shift is more than this number of spreads above the median, on the logarithmic scale.
"""
HANG = 6.0
"""A hang is more than this number of spreads above the median, on the logarithmic scale."""
ABOVE_HIGH = 1.25
"""A run of a shift takes more than this multiple of the 95% quantile of the earlier runs."""
ABOVE_LONGEST = 1.5
"""A hang takes more than this multiple of the longest earlier run."""
MIN_SPREAD = 0.14
"""The minimum spread of the logarithms, which is about 15% of the duration."""
MIN_SECONDS = 1.0
"""Shorter times count as one second, because they mostly consist of Airflow's own jitter."""
RECENT = 3
"""The number of newest values that are compared with the baseline. The earlier values make the
baseline.
"""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Statistics of a task's earlier durations or waits, in seconds."""

    median: float
    spread: float
    """The spread of the logarithms: the MAD, multiplied by ``MAD_TO_SIGMA``."""
    high: float
    """The 95% quantile, in seconds."""
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Baseline:
        """Return the :class:`Baseline` of earlier durations or waits, in seconds. ``values``
        must not be empty.
        """
        logs = sorted(math.log(max(value, MIN_SECONDS)) for value in values)
        centre = quantile(logs, 0.5)
        deviations = sorted(abs(value - centre) for value in logs)
        spread = max(MAD_TO_SIGMA * quantile(deviations, 0.5), MIN_SPREAD)
        return cls(math.exp(centre), spread, math.exp(quantile(logs, 0.95)), math.exp(logs[-1]))

    @property
    def limit(self) -> float:
        """The limit in seconds above which a duration or a wait counts towards a shift."""
        return max(self.median * math.exp(SHIFT * self.spread), ABOVE_HIGH * self.high)

    @property
    def hang_limit(self) -> float:
        """The limit in seconds above which a duration or a wait is a hang."""
        return max(self.median * math.exp(HANG * self.spread), ABOVE_LONGEST * self.longest)


def exceeded_baseline(values: Sequence[float], *, min_history: int) -> Baseline | None:
    """Return the baseline if the newest values are a shift or a hang. Return ``None`` otherwise, or
    if there are too few earlier values.

    - A shift: the newest value, and at least one of the two values before it, are above
      :attr:`Baseline.limit`.
    - A hang: the newest value is above :attr:`Baseline.hang_limit`.

    Args:
        values: Durations or waits in seconds, newest first. The baseline is made of all values but
            the first three.
        min_history: The minimum number of values for the baseline.
    """
    recent, earlier = values[:RECENT], values[RECENT:]
    if len(earlier) < max(min_history, 1):
        return None
    baseline = Baseline.of(earlier)
    above = [value > baseline.limit for value in recent]
    shifted = above[0] and sum(above) >= 2
    return baseline if shifted or recent[0] > baseline.hang_limit else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile ``share`` (from 0 to 1) of sorted values, interpolated between two
    neighbours.
    """
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
