from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import World
from tests.unit.operator.runs import edit

from .backfills import RANGE, apply, begin, counts, end, made, runs


class TestRunPolicy:
    async def test_on_change_a_changed_range_creates_another_backfill(self, world: World) -> None:
        await apply(world, runPolicy="OnChange")
        await begin(world, runs(world)[0])
        await edit(world, backfill=RANGE | {"to": "2025-12-06T00:00:00Z", "reprocessBehavior": "Failed"})
        await world.later(5)
        assert (world.status.phase, world.status.attempts, made(world)) == (Phase.QUEUED, 2, 2)
        assert counts(world).total == 6
        assert [run for run in world.airflow.runs.values() if run.state is RunState.RUNNING] == []

    async def test_once_refuses_a_changed_range(self, world: World) -> None:
        await apply(world)
        await edit(world, backfill=RANGE | {"to": "2025-12-06T00:00:00Z"})
        assert world.condition("SpecApplied") == "False"
        assert made(world) == 1

    async def test_once_per_spec_takes_over_the_existing_backfill(self, world: World) -> None:
        await apply(world, runPolicy="OncePerSpec", ttlSecondsAfterFinished=5)
        await end(world, RunState.SUCCESS, *runs(world))
        await world.later(6)
        assert not world.exists
        await apply(world, runPolicy="OncePerSpec")
        assert (made(world), world.status.phase) == (1, Phase.SUCCEEDED)
