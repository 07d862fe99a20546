"""A finished MLJob gets a new spec, and the AirflowInstance for the next run is unavailable,
does not exist yet, or is being deleted.
"""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState

from .conftest import Platform


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
@pytest.mark.parametrize("restarted", [False, True])
async def test_mljob_waits_and_names_the_cause(world: Platform, state: RunState, *, restarted: bool) -> None:
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
    assert world.event_reasons.count(reason) == 1
    assert world.condition("Stalled") == "False"

    world.prod.down = False
    await world.look_after("prod")
    await seconds(world, 10)
    assert (world.status.phase, world.status.attempts, world.status.observed_generation) == (Phase.QUEUED, 2, 2)
    assert [run.conf for run in world.prod.runs.values()][-1] == {"alpha": 2}


async def test_waiting_mljob_is_not_deleted_by_the_ttl_of_its_last_run(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OnChange", ttlSecondsAfterFinished=30)
    await seconds(world, 10)
    await world.end(world.prod)
    await seconds(world, 10)
    await world.edit(airflowRef={"name": "test"})
    await seconds(world, 60)
    assert world.exists
    test = await world.add_instance("test")
    assert len(test.runs) == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_mljob_without_an_airflow_says_that_its_spec_waits(world: Platform, *, restarted: bool) -> None:
    await world.run_in("prod", runPolicy="OnChange")
    await seconds(world, 10)
    await world.end(world.prod)
    await seconds(world, 20)
    await world.edit(airflowRef=None, conf={"alpha": 2})
    await seconds(world, 5)
    if restarted:
        await world.restart()
    assert (world.status.phase, world.status.observed_generation) == (Phase.SUCCEEDED, 1)
    assert (world.condition("SpecApplied"), world.condition("Reconciling")) == ("False", "True")
    (reason,) = [found.reason for found in world.status.conditions or () if found.type == "SpecApplied"]
    assert reason == "NoDefaultAirflow"
    assert world.event_reasons.count(reason) == 1
    third = await world.add_instance("third", default=True)
    await seconds(world, 10)
    assert (world.status.airflow_instance, world.status.attempts) == ("third", 2)
    assert (world.condition("SpecApplied"), len(third.runs)) == (None, 1)


async def test_instance_is_removed_while_a_finished_mljob_waits_to_run_its_new_spec_there(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OnChange")
    await seconds(world, 10)
    world.prod.down_for["outputs"] = 100
    await world.end(world.prod)
    await seconds(world, 60)
    assert (world.status.phase, world.has_finalizer) == (Phase.SUCCEEDED, True)

    world.instance_objects.user_deletes("prod")
    await world.look_after("prod")
    await world.edit(conf={"alpha": 2})
    assert (world.status.phase, world.has_finalizer) == (Phase.SUCCEEDED, False)
    await world.instances.reconcile("prod")
    assert "prod" not in world.instance_objects.objects


async def seconds(world: Platform, number: int) -> None:
    for _ in range(number):
        await world.later(1)
        for name in ("prod", "staging"):
            if not world.airflows[f"http://{name}:8080"].down:
                await world.resync_of(name).pass_once()
                await world.settle()
