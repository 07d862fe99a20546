"""The reader of the change feed goes on with its regular checks after the clock was set back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mljob_operator.sources.change_feed import HALT_CHECK_INTERVAL, RELIST_INTERVAL

from .backfill import backfills
from .conftest import World
from .runs import begin

HOUR = 3600


async def requests_of_a_pass(world: World) -> list[str]:
    asked = len(world.airflow.calls)
    await world.look()
    return world.airflow.calls[asked:]


@pytest.mark.parametrize(
    ("request_name", "interval"), [("halts", HALT_CHECK_INTERVAL), ("active_runs", RELIST_INTERVAL)]
)
async def test_check_is_due_at_once_and_then_after_its_interval(
    world: World, request_name: str, interval: timedelta
) -> None:
    await world.apply()
    await begin(world)
    await world.look()
    world.clock.tick(-HOUR)
    assert request_name in await requests_of_a_pass(world)
    assert request_name not in await requests_of_a_pass(world), "the next check is not due"
    world.clock.tick(interval.total_seconds())
    assert request_name in await requests_of_a_pass(world)


async def test_backfill_is_looked_up(world: World) -> None:
    await backfills.apply(world)
    await backfills.begin(world, *backfills.runs(world))
    world.clock.tick(-HOUR)
    assert "find_backfill" in await requests_of_a_pass(world)


async def test_run_that_is_deleted_is_looked_up(world: World) -> None:
    await world.apply()
    await begin(world)
    world.clock.tick(-HOUR)
    world.airflow.runs.clear()
    assert "get" in await requests_of_a_pass(world)
