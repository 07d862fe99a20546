"""A status that the Kubernetes API refuses as invalid: what it was made of is dropped, and everything else goes on."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import StoreError
from tests.strategies import event

from .conftest import KEY, World
from .runs import begin, end, newest

POISON = 2**70
"""A try that the API server does not take."""


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", lambda *_: 0.001)
    return world


async def poison(world: World) -> None:
    fact = event("extract", TaskState.RUNNING, try_number=POISON, seconds=5)
    world.queue.tell(KEY, {RunKey(SETTINGS_AIRFLOW, "train", newest(world).run_id)}, fact, lambda: world.done.append(1))
    await world.settle()


async def test_what_it_was_made_of_is_dropped_counted_and_told_once(world: World, refused: list[int]) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    assert world.done == [1], "its offset is committed"
    assert world.told.count("StatusRefused") == 1
    assert refused == [1]
    notice = next(notice for _, notice in world.jobs.kube_events if notice.reason == "StatusRefused")
    assert notice.type == "Warning"
    assert "422" in notice.message


async def test_airflow_is_asked_again_and_what_comes_next_is_stored(world: World) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    assert (world.status.phase, world.status.progress) == (Phase.RUNNING, "0/2")
    await world.tell(event("fit", TaskState.SUCCESS, seconds=9))
    assert world.status.progress == "1/2"
    await end(world, RunState.SUCCESS)
    assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")
    assert not world.has_finalizer


async def test_another_one_later_is_told_of_again(world: World) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    await world.tell(event("fit", TaskState.SUCCESS, seconds=9))
    await poison(world)
    assert world.told.count("StatusRefused") == 2


async def test_it_is_followed_by_a_restart_as_if_it_had_not_been(world: World) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    await world.restart()
    await world.look()
    await end(world, RunState.SUCCESS)
    assert world.status.phase is Phase.SUCCEEDED


class TestNoStatusIsTaken:
    """The API server refuses every status, also those that are made of REST's answers: the object was stored under another CRD."""

    async def test_deleting_the_mljob_cancels_its_run_and_lets_it_go(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await begin(world)
        world.jobs.refuse = lambda _: True
        world.jobs.user_deletes(KEY, world.clock())
        async for job in world.jobs.list():
            world.queue.observe(job)
        await until(world, lambda: not world.exists)
        assert newest(world).state is RunState.FAILED
        assert world.told.count("StatusRefused") == 1

    async def test_it_is_tried_again_and_again_and_never_in_a_tight_loop(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[int] = []

        def backoff(_: StoreError, failures: int) -> float:
            waits.append(failures)
            if len(waits) == 5:
                world.jobs.refuse = None
            return 0.001

        monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", backoff)
        await world.apply()
        world.jobs.refuse = lambda _: True
        await begin(world)
        assert waits == [1, 2, 3, 4, 5], "each refusal is followed by a longer wait"
        assert world.status.phase is Phase.RUNNING
        assert world.told.count("StatusRefused") == 1

    async def test_nothing_is_submitted_that_is_not_announced(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def backoff(_: StoreError, failures: int) -> float:
            if failures == 3:
                world.jobs.refuse = None
            assert not world.airflow.runs
            return 0.001

        monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", backoff)
        world.jobs.refuse = lambda _: True
        await world.apply()
        assert len(world.airflow.runs) == 1


@pytest.fixture
def refused(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled by what the meter counts."""
    counted: list[int] = []
    monkeypatch.setattr(world.meter, "status_refused", lambda: counted.append(1), raising=False)
    return counted


async def until(world: World, holds: Any) -> None:
    for _ in range(30):
        await world.settle()
        if holds():
            return
        world.clock.tick(1)
        world.queue.wake_all()
    raise AssertionError(world.status)
