"""The operator concludes that a run is missing only after Airflow has answered twice, seconds
apart, that the run does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState, TaskState

from .backfill.backfills import apply as apply_backfill
from .backfill.backfills import made
from .conftest import KEY, World
from .runs import active, begin, end, newest, runs

Situation = Callable[[World], Awaitable[None]]


async def followed(world: World) -> None:
    await world.apply(backoffLimit=1, retryStrategy="NewRun")
    await world.look()
    await begin(world)
    world.job_controller.request_look_up(KEY)


async def deleted(world: World) -> None:
    await followed(world)
    world.airflow.paused.add("mljob_cancel")
    world.jobs.user_deletes(KEY, world.clock())


async def deleted_after_a_restart(world: World) -> None:
    await followed(world)
    world.jobs.user_deletes(KEY, world.clock())
    world.airflow.denies = 1
    await world.restart()


async def suspended_and_resumed(world: World) -> None:
    await world.apply(cancellation={"strategy": "Dag"}, backoffLimit=1)
    await world.look()
    await begin(world)
    world.airflow.denies = 1
    await world.edit(suspend=True)
    await world.later(5)
    await world.edit(suspend=False)


@pytest.mark.parametrize(
    "situation",
    [followed, deleted, deleted_after_a_restart, suspended_and_resumed],
    ids=lambda situation: situation.__name__,
)
async def test_run_that_is_reported_missing_once_is_neither_left_behind_nor_replaced(
    world: World, situation: Situation
) -> None:
    world.airflow.denies = 1
    await situation(world)
    for _ in range(120):
        await world.later(1)
        assert active(world) <= 1
        assert world.exists or active(world) == 0, "left behind"
    assert "deleted in Airflow" not in world.message if world.exists else True
    assert world.airflow.denies == 0, "it was asked"


async def test_run_that_is_reported_missing_once_costs_one_more_request(world: World) -> None:
    await followed(world)
    await world.later(1)
    world.airflow.denies = 1
    world.job_controller.request_look_up(KEY)
    calls = len(world.airflow.calls)
    for _ in range(30):
        await world.later(1)
    assert world.airflow.calls[calls:] == ["get", "get", "tasks"]
    assert world.status.phase is Phase.RUNNING


async def test_missing_run_is_given_up_after_the_second_request(world: World) -> None:
    await followed(world)
    await world.later(1)
    world.airflow.runs.clear()
    world.job_controller.request_look_up(KEY)
    await world.later(0)
    await world.later(2)
    assert (world.status.phase, world.status.attempts, runs(world)) == (Phase.RUNNING, 1, [])
    await world.later(1)
    assert world.status.reason == "RetryBackoff"


async def test_absence_is_not_concluded_from_requests_around_an_airflow_outage(world: World) -> None:
    await followed(world)
    await world.later(1)
    world.airflow.denies = 1
    world.job_controller.request_look_up(KEY)
    await world.later(0)
    world.airflow.down = True
    for _ in range(60):
        await world.later(1)
    assert world.status.phase is Phase.RUNNING
    world.airflow.down = False
    await world.later(16)
    assert (world.status.phase, world.status.attempts) == (Phase.RUNNING, 1)


async def test_retry_that_finds_nothing_to_clear_looks_again(world: World) -> None:
    await world.apply(backoffLimit=1, retryStrategy="ClearFailed")
    await begin(world)
    await end(world, RunState.FAILED)
    first = newest(world).run_id
    world.airflow.denies = 1
    await world.later(10)
    assert runs(world) == [first]
    await world.later(3)
    assert (runs(world), world.status.attempts, world.status.dag_run_id) == ([first], 2, first)
    assert newest(world).state is RunState.QUEUED


async def test_retry_of_a_missing_run_submits_a_new_run(world: World) -> None:
    await world.apply(backoffLimit=1, retryStrategy="ClearFailed")
    await begin(world)
    await end(world, RunState.FAILED)
    world.airflow.runs.clear()
    await world.later(10)
    assert runs(world) == []
    await world.later(3)
    assert (world.status.attempts, [run[-2:] for run in runs(world)]) == (2, ["-2"])


@pytest.mark.parametrize("denied_at", range(3))
async def test_once_per_spec_does_not_run_again_because_of_one_response(world: World, denied_at: int) -> None:
    spec: dict[str, Any] = {"runPolicy": "OncePerSpec", "backoffLimit": 1, "retryStrategy": "NewRun"}
    await world.apply(**spec)
    await world.later(3)
    await end(world, RunState.FAILED)
    await world.later(10)
    await end(world, RunState.SUCCESS)
    taken = runs(world)
    assert (len(taken), world.status.phase) == (2, Phase.SUCCEEDED)
    world.jobs.user_deletes(KEY, world.clock())
    await world.see_all()

    asked = world.airflow.get
    answers = iter([n == denied_at for n in range(20)])

    async def get(dag_id: str, run_id: str) -> Any:
        return None if next(answers) else await asked(dag_id, run_id)

    world.airflow.get = get
    await world.apply(**spec)
    for _ in range(10):
        await world.later(1)
    assert (world.status.phase, world.status.attempts, world.status.dag_run_id) == (Phase.SUCCEEDED, 1, taken[1])
    assert runs(world) == taken


async def test_unanswered_submission_is_looked_for_twice_after_it_can_no_longer_arrive(world: World) -> None:
    world.airflow.lose_answers = 1
    await world.apply(runPolicy="OnChange")
    there = dict(world.airflow.runs)
    world.airflow.runs.clear()
    world.airflow.down_for["submit"] = 100
    await world.edit(conf={"epochs": 2})
    await world.later(20)
    world.airflow.runs |= there
    world.airflow.denies = 1
    await world.later(11)
    assert [run.conf for run in world.airflow.runs.values()] == [{}], "one answer after that proves nothing"
    await world.later(3)
    world.airflow.down_for.clear()
    for _ in range(30):
        await world.later(1)
        assert active(world) <= 1
    assert newest(world).conf == {"epochs": 2}


async def test_ended_run_that_is_reported_missing_once_keeps_its_result(world: World) -> None:
    await followed(world)
    run = newest(world)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    world.airflow.denies = 1
    await world.look()
    await world.later(3)
    assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")


async def test_backfill_that_is_reported_missing_once_is_not_created_twice(world: World) -> None:
    await apply_backfill(world, backoffLimit=1)
    find = world.airflow.backfills.find
    denials = [None]

    async def denied_once(*args: Any, **named: Any) -> Any:
        return denials.pop() if denials else await find(*args, **named)

    world.airflow.backfills.find = denied_once
    world.job_controller.request_look_up(KEY)
    for _ in range(20):
        await world.later(1)
    assert not denials
    assert (made(world), world.status.phase, world.status.attempts) == (1, Phase.QUEUED, 1)
