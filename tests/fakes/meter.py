"""Nobody measures, but for what a test wants to know."""

from __future__ import annotations

from typing import Any


class SilentMeter:
    """Counts what Airflow has contradicted, and nothing else.

    Attributes:
        disbelieved: How many events.
    """

    def __init__(self) -> None:
        self.disbelieved = 0

    def events_disbelieved(self, number: int) -> None:
        """Airflow has contradicted events."""
        self.disbelieved += number

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None
