"""A submission reaches Airflow after the operator has stopped waiting for the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.simulation.network import Fault

from .conftest import KEY, World
from .runs import active, newest, runs, seconds
from .simulated import apply, dags_at_work, delete, simulation


async def on_its_way(world: World, **spec: object) -> Callable[[], Awaitable[None]]:
    """Create an MLJob whose submission has not reached Airflow yet. Return a function that lets the
    submission reach Airflow.
    """
    world.airflow.lose_answers = 1
    await world.apply(cancellation={"strategy": "Api"}, **spec)
    under_way = dict(world.airflow.runs)
    world.airflow.runs.clear()

    async def arrives() -> None:
        now = world.clock()
        for run in under_way.values():
            run.queued_at = run.changed = now
        world.airflow.runs |= under_way
        for _ in range(3):
            await seconds(world, 5)
            await world.look()

    return arrives


@pytest.mark.parametrize("restarted", [False, True])
async def test_late_submission_of_a_suspended_mljob_is_cancelled(world: World, *, restarted: bool) -> None:
    arrives = await on_its_way(world)
    await world.edit(suspend=True)
    await seconds(world, 60)
    assert (world.status.phase, runs(world)) == (Phase.SUSPENDED, [])
    if restarted:
        await world.restart()
    await arrives()
    assert (world.status.phase, newest(world).state) == (Phase.SUSPENDED, RunState.FAILED)
    await world.edit(suspend=False)
    await seconds(world, 3)
    assert (world.status.phase, active(world), len(runs(world))) == (Phase.QUEUED, 1, 2)


async def test_late_submission_of_a_suspended_mljob_does_not_refuse_a_change(world: World) -> None:
    arrives = await on_its_way(world, conf={"epochs": 1})
    await world.edit(suspend=True)
    await seconds(world, 60)
    await arrives()
    world.jobs.edit(KEY, {"conf": {"epochs": 2}})
    await world.see_all()
    assert (world.status.phase, world.condition("SpecApplied")) == (Phase.SUSPENDED, None)
    world.jobs.edit(KEY, {"suspend": False})
    await world.see_all()
    await seconds(world, 3)
    assert (world.status.phase, newest(world).conf) == (Phase.QUEUED, {"epochs": 2})
    assert world.condition("SpecApplied") is None


async def test_late_submission_of_a_cancelled_mljob_is_cancelled_after_an_airflow_outage(world: World) -> None:
    arrives = await on_its_way(world)
    await world.edit(cancel=True)
    await seconds(world, 60)
    assert (world.status.phase, runs(world)) == (Phase.CANCELLED, [])
    world.airflow.down_for["cancel"] = 3
    await arrives()
    assert (world.status.phase, newest(world).state) == (Phase.CANCELLED, RunState.FAILED)
    assert not world.job_controller.workers.tracked


async def test_late_submission_after_a_deadline_is_cancelled(world: World) -> None:
    arrives = await on_its_way(world, activeDeadlineSeconds=20)
    world.airflow.down_for["submit"] = 1000
    await seconds(world, 60)
    assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
    await arrives()
    assert (world.status.phase, active(world)) == (Phase.FAILED, 0)
    assert KEY in world.jobs.objects


@pytest.mark.parametrize("late_by", [0, 40], ids=["while the operator waits for it", "later"])
def test_late_submission_of_a_deleted_mljob_is_not_left_behind(late_by: int) -> None:
    with simulation() as world:
        world.network.faults["airflow"] = [None, Fault.LATE]
        apply(world)
        world.run(1)
        (stray,) = [stray for stray in world.network.strays if stray.name == "submit"]
        delete(world)
        world.run(20)
        if late_by:
            world.run(late_by)
            assert KEY not in world.cluster.objects
            world.kill()
            world.start()
        world.lands(stray)
        assert dags_at_work(world) == ["train"]
        world.run(200)
        assert dags_at_work(world) == []
        assert not world.left_behind(in_the_end=True)
