"""A finished MLJob is deleted when its ttlSecondsAfterFinished are over."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState

from .conftest import KEY, World
from .runs import end, runs


class TestExpiry:
    """ttlSecondsAfterFinished."""

    @pytest.mark.parametrize("seconds", [0, 60])
    async def test_one_that_is_cancelled_before_it_began_expires_too(self, world: World, seconds: int) -> None:
        await world.apply(cancel=True, ttlSecondsAfterFinished=seconds)
        assert world.exists is (seconds > 0)
        await world.later(seconds)
        assert not world.exists

    async def test_a_finished_mljob_goes_when_its_time_is_up(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        assert not world.has_finalizer
        await world.later(50)
        assert world.exists
        await world.later(10)
        assert not world.exists
        assert len(runs(world)) == 1

    async def test_also_when_the_operator_was_restarted(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        world.clock.tick(100)
        await world.restart()
        await world.later(1)
        assert not world.exists

    async def test_one_that_took_over_an_old_run_has_its_time_too(self, world: World) -> None:
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

    async def test_until_then_nothing_is_kept_of_it_but_when_its_time_is_up(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        assert not world.queue.tracked
        await world.restart()
        assert not world.queue.tracked
        assert list(world.queue.expiring) == [KEY]

    async def test_a_version_that_is_known_is_not_looked_at_again(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        kept = world.queue._expiries[KEY]
        await world.see_all()
        assert world.queue._expiries[KEY] is kept

    async def test_an_edit_moves_its_time(self, world: World) -> None:
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

    async def test_one_that_somebody_deletes_is_forgotten(self, world: World) -> None:
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        world.queue.vanished(KEY, world.jobs.objects[KEY]["metadata"]["uid"])
        assert not world.queue.expiring
        await world.later(100)
        assert world.exists

    async def test_another_one_of_its_name_does_not_go_in_its_place(self, world: World) -> None:
        """The watch was lost while the first one was deleted."""
        await world.apply(ttlSecondsAfterFinished=60)
        await end(world, RunState.SUCCESS)
        world.jobs.user_deletes(KEY, world.clock())
        await world.apply(ttlSecondsAfterFinished=600)
        await world.later(100)
        assert world.exists
