from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState

from .conftest import KEY, World
from .runs import active, begin, edit, end, newest, runs


class TestSuspending:
    async def test_mljob_created_suspended_submits_no_run(self, world: World) -> None:
        await world.apply(suspend=True)
        assert world.status.phase is Phase.SUSPENDED
        assert world.condition("Suspended") == "True"
        assert (world.condition("Reconciling"), world.condition("Stalled")) == ("False", "False")
        assert not world.has_finalizer
        assert not world.airflow.runs
        assert world.status.active_since is None

    async def test_resuming_submits_a_run(self, world: World) -> None:
        await world.apply(suspend=True)
        world.clock.tick(500)
        await edit(world, suspend=False)
        assert world.status.phase is Phase.QUEUED
        assert (world.condition("Suspended"), world.status.attempts) == ("False", 1)
        assert world.status.active_since == world.clock().replace(microsecond=0)
        assert world.event_reasons in (["Suspended", "Resumed", "Submitted"], ["Suspended", "Submitted"])

    async def test_suspending_cancels_the_run_and_resuming_submits_another(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"}, backoffLimit=3)
        await begin(world)
        await edit(world, suspend=True)
        assert (world.status.phase, world.status.attempts) == (Phase.SUSPENDED, 1)
        assert newest(world).state is RunState.FAILED
        assert not world.has_finalizer, "a suspended MLJob owes nothing"
        (entry,) = world.status.history or []
        assert (entry.attempt, entry.phase, entry.reason) == (1, Phase.CANCELLED, "Suspending")
        assert not world.status.failed_attempts, "a suspension is no failure"
        await world.look()
        await edit(world, suspend=False)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert len(runs(world)) == 2
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_run_that_succeeds_during_suspension_completes_the_mljob(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, suspend=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLING, "Suspending")
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED

    async def test_resuming_during_the_cancellation_submits_another_run_afterwards(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, suspend=True)
        await edit(world, suspend=False)
        assert world.status.phase is Phase.CANCELLING
        assert active(world) == 1
        await end(world, RunState.FAILED)
        assert (world.status.attempts, active(world)) == (2, 1)

    async def test_restarted_operator_continues_the_suspension(self, world: World) -> None:
        await world.apply()
        await begin(world)
        await edit(world, suspend=True)
        await world.restart()
        await end(world, RunState.FAILED)
        assert world.status.phase is Phase.SUSPENDED

    async def test_suspended_mljob_can_be_deleted_while_the_operator_is_down(self, world: World) -> None:
        await world.apply(suspend=True)
        world.jobs.user_deletes(KEY, world.clock())
        assert not world.exists

    async def test_mljob_can_be_suspended_during_the_retry_backoff(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await end(world, RunState.FAILED)
        await edit(world, suspend=True)
        assert world.status.phase is Phase.SUSPENDED
        await world.later(60)
        assert active(world) == 0
        await edit(world, suspend=False)
        assert active(world) == 1
