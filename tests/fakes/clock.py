"""A clock that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock that shows the same time until a test calls :meth:`tick`. Call the clock to read the
    time.
    """

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def tick(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``."""
        self.at += timedelta(seconds=seconds)
