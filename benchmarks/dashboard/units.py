"""Texts of values with a unit. The ids of the units are Grafana's."""

from __future__ import annotations

import math

from benchmarks.bench_stack import MeasurementError

RATES = {"ops": "ops/s", "reqps": "req/s", "rps": "rd/s", "mps": "msg/s", "wps": "wr/s"}
"""The units of rates, as Grafana abbreviates them."""
_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


_ROUND_SECONDS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)


def tick_distance(highest: float, unit: str, ticks: int = 5) -> float:
    """Return the distance of the ticks on an axis from 0 to ``highest``: a round number that gives at
    most ``ticks`` ticks above 0. Numbers without a unit are whole.
    """
    least = highest / ticks
    if unit == "s" and 1 <= least <= _ROUND_SECONDS[-1]:
        return next(step for step in _ROUND_SECONDS if step >= least)
    if unit == "short":
        least = max(1.0, least)
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def text(value: float, unit: str) -> str:
    """Return a value with three significant digits, and its unit.

    Raises:
        MeasurementError: The unit is unknown.
    """
    if unit == "s":
        return _scaled(value, _SECONDS, " ")
    if unit == "short":
        return _scaled(value, _THOUSANDS, "")
    if unit in RATES:
        return f"{_scaled(value, _THOUSANDS, '')} {RATES[unit]}"
    raise MeasurementError(f"the unit {unit} is unknown")


def _scaled(value: float, scales: tuple[tuple[float, str], ...], separator: str) -> str:
    if value == 0 or math.isnan(value):
        size, name = next((size, name) for size, name in scales if size == 1)
        return f"{value:g}{separator}{name}".rstrip()
    size, name = next(((size, name) for size, name in scales if abs(value) >= size), scales[-1])
    return f"{value / size:.3g}{separator}{name}".rstrip()
