from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import World

from .backfills import apply, begin, runs


class TestDeadlines:
    async def test_backfill_that_is_active_for_too_long_fails(self, world: World) -> None:
        await apply(world, activeDeadlineSeconds=100)
        await begin(world, *runs(world))
        await world.later(101)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_backfill_fails_if_no_run_starts_in_time(self, world: World) -> None:
        await apply(world, preRunningDeadlineSeconds=30)
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")

    async def test_first_started_run_meets_the_pre_running_deadline(self, world: World) -> None:
        await apply(world, preRunningDeadlineSeconds=30)
        await begin(world, runs(world)[0])
        await world.later(31)
        assert world.status.phase is Phase.RUNNING
