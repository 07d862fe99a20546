"""A finished MLJob gets another spec while its Airflow can't be used: the spec is run as soon as it can."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.phases import RunState

from ..conftest import KEY
from .conftest import Platform


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
@pytest.mark.parametrize("restarted", [False, True])
async def test_it_waits_and_says_for_what(world: Platform, state: RunState, *, restarted: bool) -> None:
    await world.run_in("prod", runPolicy="OncePerSpec")
    await seconds(world, 10)
    await world.end(world.prod, state)
    await seconds(world, 20)
    ended = world.status
    assert ended.phase in (Phase.SUCCEEDED, Phase.FAILED)

    world.prod.down = True
    await world.look_after("prod")
    await world.edit(conf={"alpha": 2})
    await seconds(world, 5)
    if restarted:
        await world.restart()
    assert (world.status.phase, world.status.observed_generation) == (ended.phase, 1)
    assert (world.condition("SpecApplied"), world.condition("Reconciling")) == ("False", "True")
    (reason,) = [found.reason for found in world.status.conditions or () if found.type == "SpecApplied"]
    assert reason == "AirflowInstanceNotReady"
    assert world.told.count("AirflowInstanceNotReady") == 1
    assert world.condition("Stalled") == "False"

    world.prod.down = False
    await world.look_after("prod")
    await seconds(world, 10)
    assert (world.status.phase, world.status.attempts, world.status.observed_generation) == (Phase.QUEUED, 2, 2)
    assert world.condition("SpecApplied") is None
    assert [run.conf for run in world.prod.runs.values()][-1] == {"alpha": 2}


async def test_one_that_is_taken_back_is_no_change(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OncePerSpec")
    await seconds(world, 10)
    await world.end(world.prod)
    await seconds(world, 20)
    world.prod.down = True
    await world.look_after("prod")
    await world.edit(conf={"alpha": 2})
    await world.edit(conf={})
    await seconds(world, 5)
    assert (world.status.phase, world.status.observed_generation) == (Phase.SUCCEEDED, 3)
    assert KEY not in world.queue._slots


async def seconds(world: Platform, number: int) -> None:
    for _ in range(number):
        await world.later(1)
        for name in ("prod", "staging"):
            if not world.airflows[f"http://{name}:8080"].down:
                await world.resync_of(name).pass_once()
                await world.settle()
