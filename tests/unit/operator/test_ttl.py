from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState

from .conftest import KEY, World
from .runs import end, runs


class TestExpiry:
    @pytest.mark.parametrize("seconds", [0, 60])
    async def test_mljob_that_was_cancelled_before_its_run_expires(self, world: World, seconds: int) -> None:
        await world.apply(cancel=True, ttlSecondsAfterFinished=seconds)
        assert world.exists is (seconds > 0)
        await world.later(seconds)
        assert not world.exists

    async def test_finished_mljob_is_deleted_after_its_ttl(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        assert not world.has_finalizer
        await world.later(50)
        assert world.exists
        await world.later(10)
        assert not world.exists
        assert len(runs(world)) == 1

    async def test_finished_mljob_is_deleted_after_its_ttl_despite_a_restart(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        world.clock.tick(100)
        await world.restart()
        await world.later(1)
        assert not world.exists

    async def test_ttl_of_an_mljob_that_took_over_an_old_run_starts_anew(self, world: World) -> None:
        await world.apply(runPolicy="OncePerSpec", ttlSecondsAfterFinished=60)
        await world.later(3)
        await end(world, RunState.SUCCESS)
        await world.later(61)
        assert not world.exists
        world.clock.tick(1000)
        await world.apply(runPolicy="OncePerSpec", ttlSecondsAfterFinished=60)
        await world.later(3)
        assert world.status.phase is Phase.SUCCEEDED
        await world.later(50)
        assert world.exists
        await world.later(20)
        assert not world.exists
        assert len(runs(world)) == 1

    async def test_only_the_expiry_of_a_finished_mljob_is_kept_in_memory(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        assert not world.job_controller.workers.tracked
        await world.restart()
        assert not world.job_controller.workers.tracked
        assert list(world.job_controller.workers.expiring) == [KEY]

    async def test_known_version_of_a_finished_mljob_is_not_parsed_again(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        kept = world.job_controller.workers.expiring[KEY]
        await world.see_all()
        assert world.job_controller.workers.expiring[KEY] is kept

    async def test_edit_of_the_ttl_moves_the_expiry(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        await world.edit(ttlSecondsAfterFinished=600)
        await world.later(100)
        assert world.exists
        await world.edit(ttlSecondsAfterFinished=None)
        await world.later(1000)
        assert world.exists
        await world.edit(ttlSecondsAfterFinished=1000)
        await world.later(0)
        assert not world.exists

    async def test_expiry_of_a_deleted_mljob_is_forgotten(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        world.observe_deletion(KEY, world.jobs.objects[KEY]["metadata"]["uid"])
        assert not world.job_controller.workers.expiring
        await world.later(100)
        assert world.exists

    async def test_re_created_mljob_does_not_expire_in_place_of_the_deleted_one(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        # The watch is disconnected and does not report this deletion.
        world.jobs.user_deletes(KEY, world.clock())
        await world.apply(ttlSecondsAfterFinished=600)
        await world.later(100)
        assert world.exists
