"""That Airflow has no such run counts when Airflow has said so twice, seconds apart: one answer may be wrong, and what follows can't be undone."""

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
    """A run goes on, and is looked for: the census did not find it, or a task is doubted."""
    await world.apply(backoffLimit=1, retryStrategy="NewRun")
    await world.look()
    await begin(world)
    world.queue.doubt(KEY)


async def deleted(world: World) -> None:
    """The MLJob is being deleted, and its run is cancelled."""
    await followed(world)
    world.airflow.paused.add("mljob_cancel")
    world.jobs.user_deletes(KEY, world.clock())


async def deleted_after_a_restart(world: World) -> None:
    """The same, and nothing is remembered."""
    await followed(world)
    world.jobs.user_deletes(KEY, world.clock())
    world.airflow.denies = 1
    await world.restart()


async def suspended_and_resumed(world: World) -> None:
    """As a proxy's 404 made two runs at once."""
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
async def test_a_run_that_is_denied_once_is_not_left_behind_nor_followed_by_another(
    world: World, situation: Situation
) -> None:
    world.airflow.denies = 1
    await situation(world)
    for _ in range(120):
        await world.later(1)
        assert active(world) <= 1
        assert world.exists or active(world) == 0, "left behind"
    assert "deleted in Airflow" not in (world.status.message or "") if world.exists else True
    assert world.airflow.denies == 0, "it was asked"


async def test_a_run_that_is_denied_once_costs_one_more_question(world: World) -> None:
    await followed(world)
    await world.later(1)
    world.airflow.denies = 1
    world.queue.doubt(KEY)
    calls = len(world.airflow.calls)
    for _ in range(30):
        await world.later(1)
    assert world.airflow.calls[calls:] == ["get", "get", "tasks"]
    assert world.status.phase is Phase.RUNNING


async def test_a_run_that_is_not_there_is_given_up_after_the_second_look(world: World) -> None:
    await followed(world)
    await world.later(1)
    world.airflow.runs.clear()
    world.queue.doubt(KEY)
    await world.later(0)
    await world.later(2)
    assert (world.status.phase, world.status.attempts, runs(world)) == (Phase.RUNNING, 1, [])
    await world.later(1)
    assert world.status.reason == "RetryBackoff"


async def test_an_airflow_that_is_away_between_two_looks_proves_nothing(world: World) -> None:
    await followed(world)
    await world.later(1)
    world.airflow.denies = 1
    world.queue.doubt(KEY)
    await world.later(0)
    world.airflow.down = True
    for _ in range(60):
        await world.later(1)
    assert world.status.phase is Phase.RUNNING
    world.airflow.down = False
    await world.later(16)
    assert (world.status.phase, world.status.attempts) == (Phase.RUNNING, 1)


async def test_a_retry_that_finds_nothing_to_clear_looks_again(world: World) -> None:
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


async def test_a_retry_of_a_run_that_is_gone_gets_one_of_its_own(world: World) -> None:
    await world.apply(backoffLimit=1, retryStrategy="ClearFailed")
    await begin(world)
    await end(world, RunState.FAILED)
    world.airflow.runs.clear()
    await world.later(10)
    assert runs(world) == []
    await world.later(3)
    assert (world.status.attempts, [run[-2:] for run in runs(world)]) == (2, ["-2"])


@pytest.mark.parametrize("denied_at", range(3))
async def test_once_per_spec_is_not_run_again_because_of_one_answer(world: World, denied_at: int) -> None:
    """Another MLJob of its name took two runs; the second succeeded."""
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

    world.airflow.get = get  # type: ignore[method-assign]
    await world.apply(**spec)
    for _ in range(10):
        await world.later(1)
    assert (world.status.phase, world.status.attempts, world.status.dag_run_id) == (Phase.SUCCEEDED, 1, taken[1])
    assert runs(world) == taken


async def test_a_submission_that_may_still_arrive_is_looked_for_twice_after_it_would_have(world: World) -> None:
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


async def test_a_run_that_is_denied_once_after_its_end_keeps_its_verdict(world: World) -> None:
    await followed(world)
    run = newest(world)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    world.airflow.denies = 1
    await world.look()
    await world.later(3)
    assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")


async def test_a_backfill_that_is_denied_once_is_not_made_twice(world: World) -> None:
    await apply_backfill(world, backoffLimit=1)
    find = world.airflow.backfills.find
    denials = [None]

    async def denied_once(*args: Any) -> Any:
        return denials.pop() if denials else await find(*args)

    world.airflow.backfills.find = denied_once  # type: ignore[method-assign]
    world.queue.doubt(KEY)
    for _ in range(20):
        await world.later(1)
    assert not denials
    assert (made(world), world.status.phase, world.status.attempts) == (1, Phase.QUEUED, 1)
