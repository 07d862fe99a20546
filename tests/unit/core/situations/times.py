"""The times of a situation. The present is always the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


CREATED, ACTIVE, QUEUED, STARTED = ago(3600), ago(600), ago(590), ago(580)
"""Four default times: of the MLJob's creation, of its activation, and of the queueing and the start
of its run.
"""
MINUTES_AGO, A_WHILE_AGO, LATELY, JUST_NOW, SOON = ago(300), ago(50), ago(5), ago(1), later(5)


def as_text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
