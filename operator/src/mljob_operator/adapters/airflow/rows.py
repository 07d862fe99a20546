"""Rows of Airflow's answers, read into facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mljob_contract.mljob import StatusSource

from ...core.facts import RunFact, TaskFact
from ...core.phases import run_state, task_state


def run_fact(row: Mapping[str, Any], seen: datetime) -> RunFact:
    """A dag run."""
    return RunFact(
        state=run_state(row["state"]),
        source=StatusSource.REST,
        at=seen,
        seen=seen,
        start=time_of(row.get("start_date")),
        end=time_of(row.get("end_date")),
        created=time_of(row.get("queued_at")),
    )


def task_fact(row: Mapping[str, Any], seen: datetime) -> TaskFact:
    """A task instance."""
    return TaskFact(
        task_id=row["task_id"],
        map_index=row["map_index"],
        try_number=row["try_number"],
        state=task_state(row.get("state")),
        source=StatusSource.REST,
        at=seen,
        seen=seen,
        max_tries=row.get("max_tries"),
        start=time_of(row.get("start_date")),
        end=time_of(row.get("end_date")),
    )


def now() -> datetime:
    """When a request is sent."""
    return datetime.now(UTC)


def time_of(text: str | None) -> datetime | None:
    """Airflow's times are ISO 8601, with a zone."""
    return datetime.fromisoformat(text) if text else None
