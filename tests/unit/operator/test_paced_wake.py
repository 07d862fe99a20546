"""Many MLJobs wait for one MLJob. The operator wakes the waiting MLJobs in batches."""

from __future__ import annotations

import asyncio

import pytest

from mljob_operator.controllers.mljob import paced_wake
from mljob_operator.controllers.mljob.paced_wake import BATCH, PacedWake
from mljob_operator.core.run.run_key import Key

from .conftest import World

CHANGES = 20


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced_wake, "PAUSE", 0)


def keys(number: int) -> list[Key]:
    return [("team-a", f"job-{index}") for index in range(number)]


async def test_few_mljobs_are_woken_at_once() -> None:
    woken: list[Key] = []
    waiting = PacedWake(woken.append)
    waiting.wake(keys(BATCH))
    assert woken == keys(BATCH)
    assert not waiting.tasks


async def test_ten_thousand_mljobs_are_woken_in_batches_and_once_for_several_changes() -> None:
    woken: list[Key] = []
    waiting, many = PacedWake(woken.append), keys(10_000)
    waiting.wake(many)
    assert len(woken) == BATCH
    sizes = []
    for change in range(CHANGES):
        waiting.wake(many)
        before = len(woken)
        await asyncio.sleep(0)
        sizes.append(len(woken) - before)
        assert change or not sizes[0], "a change meanwhile wakes nobody at once"
    assert max(sizes) == BATCH
    await asyncio.gather(*waiting.tasks)
    assert len(woken) <= 2 * len(many) + CHANGES * BATCH
    assert set(woken[-len(many) :]) == set(many), "each MLJob is woken after the last change"


async def test_nobody_is_woken_after_the_end() -> None:
    woken: list[Key] = []
    waiting = PacedWake(woken.append)
    waiting.wake(keys(2 * BATCH))
    tasks = waiting.tasks
    waiting.stop()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(woken) == BATCH
    assert not waiting.tasks


async def test_flapping_mljob_costs_no_reads_and_few_writes(world: World) -> None:
    number = 3 * BATCH + 50
    world.jobs.create("data", {"dagId": "train", "suspend": True})
    for _, name in keys(number):
        world.jobs.create(name, {"dagId": "train", "confFrom": [{"outputsRef": {"name": "data"}}]})
    await world.see_all()
    await world.see_all()
    reads, patches = world.jobs.reads + 1, len(world.jobs.patches)
    data = await world.jobs.get(("team-a", "data"))
    assert data is not None
    for change in range(CHANGES):
        data = await world.jobs.write_status(data, {"phase": "Pending" if change % 2 else "Suspended"})
        world.job_controller.observe(data)
        assert len(world.job_controller.tasks) <= BATCH + 2
    await world.settle()
    assert world.jobs.reads == reads, "the watch has delivered the changes"
    assert len(world.jobs.patches) - patches <= 2 * number + CHANGES
