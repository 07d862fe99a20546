"""The protocol class for reading the current time."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """A function that returns the current time."""

    def __call__(self) -> datetime:
        """Return the current time in UTC."""
        ...
