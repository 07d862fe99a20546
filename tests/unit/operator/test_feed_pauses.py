"""The pause between two passes over an Airflow's change feed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.simulation.virtual_time import VirtualLoop

from .conftest import World


@pytest.mark.parametrize(("took", "pause"), [(0.0, 1.0), (0.2, 1.0), (0.5, 2.0), (1.0, 4.0), (3.0, 5.0)])
def test_pause_grows_with_the_duration_of_a_pass_up_to_the_usual_pause(
    took: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def beginnings() -> list[float]:
        world, loop, begun = World(), asyncio.get_running_loop(), list[float]()

        async def guarded_pass() -> tuple[float, bool]:
            begun.append(loop.time())
            await asyncio.sleep(took)
            return 5.0, True

        monkeypatch.setattr(world.resync, "guarded_pass", guarded_pass)
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                await world.resync.run()
        await world.close()
        return begun

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        first, second, third, *_ = runner.run(beginnings())
    assert second - first == third - second == pytest.approx(took + pause)
