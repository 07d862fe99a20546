"""A backfill that takes too long, as a whole or until its first run starts, is cancelled and fails."""

from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import World

from .backfills import apply, begin, runs


class TestDeadlines:
    """activeDeadlineSeconds and preRunningDeadlineSeconds."""

    async def test_too_long_active_it_fails(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=100)
        await begin(world, *runs(world))
        await world.later(101)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_with_no_run_started_in_time_it_fails(self, world: World) -> None:
        await apply(world, preRunningDeadlineSeconds=30)
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")

    async def test_a_run_that_has_started_is_in_time(self, world: World) -> None:
        await apply(world, preRunningDeadlineSeconds=30)
        await begin(world, runs(world)[0])
        await world.later(31)
        assert world.status.phase is Phase.RUNNING
