from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mljob_contract.mljob import BackfillRuns, BackfillStatus, ReprocessBehavior
from mljob_operator.core.run.backfill import BackfillRequest
from mljob_operator.core.run.states import RunState
from tests.fakes.airflow import FakeRun
from tests.unit.operator.conftest import World

DAYS = "days"
FIRST = datetime(2025, 12, 1, tzinfo=UTC)
RANGE = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-04T00:00:00Z"}


async def apply(world: World, *, backfill: dict[str, Any] | None = None, **spec: Any) -> None:
    await world.apply(type="Backfill", dagId=DAYS, backfill={**RANGE, **(backfill or {})}, **spec)


def runs(world: World, backfill: int = 1) -> list[FakeRun]:
    return world.airflow.backfills.runs(backfill)


def made(world: World) -> int:
    return len(world.airflow.backfills.made)


def of(world: World) -> BackfillStatus:
    backfill = world.status.backfill
    assert backfill is not None
    return backfill


def counts(world: World) -> BackfillRuns:
    return of(world).runs


def someone_elses(world: World, days: int = 1, start: datetime = FIRST) -> int:
    order = BackfillRequest(start, start + timedelta(days=days - 1), ReprocessBehavior.NONE, 10, False, {})
    return world.airflow.backfills.make(DAYS, None, order).id


async def begin(world: World, *which: FakeRun) -> None:
    for run in which:
        world.airflow.begin(run)
    world.clock.tick(1)
    await world.look()


async def end(world: World, state: RunState, *which: FakeRun) -> None:
    for run in which:
        world.airflow.end(run, state)
    world.clock.tick(1)
    await world.look()
