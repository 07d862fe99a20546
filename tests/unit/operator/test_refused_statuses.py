"""The Kubernetes API refuses a status as invalid."""

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
"""A try number that the API server refuses."""


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", lambda *_: 0.001)
    return world


async def poison(world: World) -> None:
    fact = event("extract", TaskState.RUNNING, try_number=POISON, seconds=5)
    world.job_controller.observe_event(
        KEY, {RunKey(SETTINGS_AIRFLOW, "train", newest(world).run_id)}, fact, lambda: world.done.append(1)
    )
    await world.settle()


async def test_events_of_a_refused_status_are_dropped_counted_and_reported_once(
    world: World, refused: list[int]
) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    assert world.done == [1], "its offset is committed"
    assert world.event_reasons.count("StatusRefused") == 1
    assert refused == [1]
    notice = next(notice for _, notice in world.jobs.kube_events if notice.reason == "StatusRefused")
    assert notice.type == "Warning"
    assert "422" in notice.message


async def test_airflow_is_asked_again_and_the_next_status_is_stored(world: World) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    assert (world.status.phase, world.status.progress) == (Phase.RUNNING, "0/2")
    await world.tell(event("fit", TaskState.SUCCESS, seconds=9))
    assert world.status.progress == "1/2"
    await end(world, RunState.SUCCESS)
    assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")
    assert not world.has_finalizer


async def test_later_refusal_is_reported_again(world: World) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    await world.tell(event("fit", TaskState.SUCCESS, seconds=9))
    await poison(world)
    assert world.event_reasons.count("StatusRefused") == 2


async def test_restart_after_a_refusal_continues_normally(world: World) -> None:
    await world.apply()
    await begin(world)
    await poison(world)
    await world.restart()
    await world.look()
    await end(world, RunState.SUCCESS)
    assert world.status.phase is Phase.SUCCEEDED


class TestEveryStatusRefused:
    async def test_deletion_cancels_the_run_and_removes_the_mljob(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await begin(world)
        world.jobs.refuse = lambda _: True
        world.jobs.user_deletes(KEY, world.clock())
        async for job in world.jobs.list():
            world.job_controller.observe(job)
        await until(world, lambda: not world.exists)
        assert newest(world).state is RunState.FAILED
        assert world.event_reasons.count("StatusRefused") == 1

    async def test_refused_status_is_retried_with_backoff(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert world.event_reasons.count("StatusRefused") == 1

    async def test_no_run_is_submitted_before_its_attempt_is_stored(
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
    """A list with one entry for each refused status."""
    counted: list[int] = []
    monkeypatch.setattr(world.meter, "status_refused", lambda: counted.append(1), raising=False)
    return counted


async def until(world: World, holds: Any) -> None:
    for _ in range(30):
        await world.settle()
        if holds():
            return
        world.clock.tick(1)
        world.wake_all()
    raise AssertionError(world.status)
