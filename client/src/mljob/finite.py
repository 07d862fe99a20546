"""Checks whether a number from a JSON document is finite, and not too large for a float."""

from __future__ import annotations

import math


def finite_number(value: object) -> float | None:
    """Return the value as a float if it is a finite number, else None. True and False are not
    numbers. An integer that is too large for a float is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
