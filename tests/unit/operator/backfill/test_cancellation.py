from __future__ import annotations

from mljob_contract.mljob import BackfillRuns, Phase
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import World
from tests.unit.operator.runs import edit

from .backfills import apply, begin, counts, end, runs


class TestEnding:
    async def test_cancelling_a_backfill_ends_all_its_runs(self, world: World) -> None:
        await apply(world)
        first, second, *_ = runs(world)
        await begin(world, first, second)
        await end(world, RunState.SUCCESS, first)
        await edit(world, cancel=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLED, "CancelRequested")
        assert counts(world) == BackfillRuns(total=4, success=1, failed=3)
        assert second.state is RunState.FAILED
        assert world.airflow.backfills.made[1].completed_at is not None
        assert "trigger_cancellation" not in world.airflow.calls

    async def test_deletion_waits_until_the_runs_have_ended(self, world: World) -> None:
        await apply(world)
        await begin(world, runs(world)[0])
        world.airflow.down = True
        await world.delete()
        assert (world.status.phase, world.exists) == (Phase.CANCELLING, True)
        world.airflow.down = False
        await world.later(20)
        assert not world.exists
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_deletion_proceeds_after_the_cancellation_timeout_if_airflow_is_unreachable(
        self, world: World
    ) -> None:
        await apply(world, cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        await world.delete()
        await world.later(61)
        assert not world.exists
        assert "CancellationAbandoned" in world.event_reasons

    async def test_backfill_whose_creation_was_not_answered_is_found_and_cancelled(self, world: World) -> None:
        world.airflow.backfills.lose_answers = 1
        await apply(world)
        await world.delete()
        await world.later(5)
        assert not world.exists
        assert {run.state for run in runs(world)} == {RunState.FAILED}

    async def test_retained_backfill_continues_after_its_mljob_is_deleted(self, world: World) -> None:
        await apply(world, deletionPolicy="Retain")
        await begin(world, runs(world)[0])
        await world.delete()
        assert not world.exists
        assert runs(world)[0].state is RunState.RUNNING
        assert world.airflow.backfills.made[1].completed_at is None
