"""Events of the package ``mljob_airflow`` lead to the same status as events of Airflow's Kafka
provider (``kafka_event_producer``).
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from mljob_operator.core.run.events import read
from mljob_operator.core.run.states import TaskState
from mljob_operator.core.status.significance import REFINEMENT_WAITS
from tests.recordings import PRODUCERS, RECORDINGS, Recording, assert_both_cost_no_more_than_one, comparable
from tests.strategies import event

from .conftest import KEY, World


async def played(recording: Recording, producers: list[str]) -> tuple[dict[str, Any], int]:
    world = World()

    async def tell(message: dict[str, Any]) -> None:
        fact = read(json.dumps(message).encode(), world.clock()).fact
        assert fact is not None
        await world.tell(fact, run_id=message["run_id"], dag_id=message["dag_id"])

    await recording.play(world, producers, begin=lambda: world.apply(dagId=recording.dag_id), tell=tell)
    return world.jobs.objects[KEY]["status"], len(world.jobs.patches)


@pytest.mark.parametrize("run", RECORDINGS)
async def test_each_producer_leads_to_the_same_status_and_both_cost_no_more_patches(run: str) -> None:
    found = {name: await played(RECORDINGS[run], producers) for name, producers in PRODUCERS.items()}

    _, without_messages = await played(RECORDINGS[run], [])
    assert min(patches for _, patches in found.values()) > without_messages, "messages reach the MLJob"
    said = comparable({name: status for name, (status, _) in found.items()})
    assert said["ours"] == said["official"] == said["both"]
    assert_both_cost_no_more_than_one({name: patches for name, (_, patches) in found.items()})


async def test_more_exact_time_is_stored_with_the_next_change() -> None:
    world = await running()
    before = world.status
    await world.tell(event("fit", TaskState.RUNNING, start=world.clock() - timedelta(seconds=2)))
    assert world.status == before
    await world.tell(event("fit", TaskState.SUCCESS, end=world.clock()))
    assert {task.task_id: task.start_time for task in world.status.tasks or ()}["fit"] is not None


async def test_more_exact_time_is_stored_within_seconds_if_no_change_follows() -> None:
    world = await running()
    await world.tell(event("fit", TaskState.RUNNING, start=world.clock() - timedelta(seconds=2)))
    # The messages are acknowledged all the same, because Airflow has the time too.
    assert len(world.done) == 2
    await world.later(REFINEMENT_WAITS.total_seconds())
    assert {task.task_id: task.start_time for task in world.status.tasks or ()}["fit"] is not None


async def running() -> World:
    world = World()
    await world.apply()
    await world.look()
    await world.tell(event("fit", TaskState.RUNNING))
    return world
