"""Events about MLJobs that the operator has not read yet do not delay other MLJobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mljob_operator import errors
from mljob_operator.controllers.mljob.look_ups import MAX_UNDER_WAY, LookUps
from mljob_operator.controllers.mljob.worker_state import Done
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from mljob_operator.errors import StoreUnavailable
from tests.fakes.crash import crash

from .conftest import KEY, World
from .doors import progress

FLOOD = [("team-a", f"nobody-{number}") for number in range(500)]


class Door:
    """Lets the reads of MLJobs wait until the test opens the door."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Key] = []
        self.under_way = self.most = 0
        self.is_open = asyncio.Event()
        self.failing: set[Key] = set()
        self._get = world.jobs.get
        monkeypatch.setattr(world.jobs, "get", self.get)

    async def get(self, key: Key) -> Job | None:
        self.asked.append(key)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.is_open.wait()
            if key in self.failing:
                raise StoreUnavailable("down")
            return await self._get(key)
        finally:
            self.under_way -= 1


def tell(world: World, key: Key, run_id: str | None = None, done: Done | None = None) -> None:
    run = RunKey(SETTINGS_AIRFLOW, "train", run_id or f"mljob.{key[0]}.{key[1]}.aaaaaaaaaa-1")
    world.job_controller.observe_event(key, {run}, progress(0.5), done or (lambda: world.done.append(1)))


async def rounds(number: int = 100) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def progress_of(world: World) -> int | None:
    """Return the percentage that a task has reported. Only events have such reports."""
    assert world.status.tasks is not None
    return {task.task_id: task.progress for task in world.status.tasks}["extract"]


async def test_events_about_mljobs_that_do_not_exist_delay_no_other_mljob(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply()
    await world.look()
    door = Door(world, monkeypatch)
    for key in FLOOD:
        tell(world, key)
    await rounds()
    assert len(door.asked) == MAX_UNDER_WAY
    tell(world, KEY, world.airflow.only_run().run_id)
    await rounds()
    assert progress_of(world) == 50
    assert len(world.done) == 1
    door.is_open.set()
    await world.settle()
    assert door.asked == FLOOD
    assert door.most == MAX_UNDER_WAY
    assert len(world.done) == 1 + len(FLOOD), "their messages are done with"
    assert list(world.job_controller.workers.tracked) == [KEY]


async def test_mljob_that_the_watch_shows_does_not_wait_to_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(world, monkeypatch)
    for key in [*FLOOD, KEY]:
        tell(world, key)
    await rounds()
    job = world.jobs.create(KEY[1], {"dagId": "train"})
    world.job_controller.observe(job)
    await rounds()
    assert len(world.airflow.runs) == 1
    assert KEY not in door.asked
    door.is_open.set()
    await world.settle()
    assert KEY not in door.asked


async def test_mljobs_that_the_watch_shows_before_their_step_leave_their_places_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = asyncio.Event()

    async def submit(*_: Any, **__: Any) -> None:
        await never.wait()

    monkeypatch.setattr(world.airflow, "submit", submit)
    door = Door(world, monkeypatch)
    for key in FLOOD[:MAX_UNDER_WAY]:
        tell(world, key)
        world.job_controller.observe(world.jobs.create(key[1], {"dagId": "train"}))
    tell(world, KEY)
    await rounds()
    assert door.asked == [KEY]
    door.is_open.set()
    await rounds()
    assert len(world.done) == 1


async def test_event_that_comes_before_the_watch_is_in_the_status(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply()
    await world.look()
    crash(world.parts)
    world.start()
    door = Door(world, monkeypatch)
    for key in [*FLOOD, KEY]:
        tell(world, key, world.airflow.only_run().run_id if key == KEY else None)
    door.is_open.set()
    await world.settle()
    assert door.asked[-1] == KEY
    await world.look()
    assert progress_of(world) == 50


async def test_mljob_that_did_not_exist_is_read_again_for_the_next_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(world, KEY)
    await world.settle()
    assert len(world.done) == 1
    await world.apply()
    await world.look()
    crash(world.parts)
    world.start()
    tell(world, KEY, world.airflow.only_run().run_id)
    await world.settle()
    await world.look()
    assert progress_of(world) == 50


async def test_failed_reads_leave_their_places_to_others_and_are_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors.StoreError, "first_delay", 0.01)
    door = Door(world, monkeypatch)
    door.failing = set(FLOOD[:MAX_UNDER_WAY])
    door.is_open.set()
    done = {key: asyncio.Event() for key in FLOOD}
    for key in FLOOD:
        tell(world, key, done=done[key].set)
    async with asyncio.timeout(180):
        for key in FLOOD[MAX_UNDER_WAY:]:
            await done[key].wait()
        assert not any(done[key].is_set() for key in door.failing)
        door.failing.clear()
        for key in FLOOD:
            await done[key].wait()
    await world.settle()
    assert not world.job_controller.workers.tracked


async def test_new_events_do_not_cut_the_backoff_of_a_failed_read_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors.StoreError, "first_delay", 3600.0)
    monkeypatch.setattr(errors.StoreError, "longest_delay", 3600.0)
    door = Door(world, monkeypatch)
    door.failing = {KEY}
    door.is_open.set()
    for _ in range(3):
        tell(world, KEY)
        await rounds()
    assert door.asked == [KEY]
    job = world.jobs.create(KEY[1], {"dagId": "train"})
    world.job_controller.observe(job)
    await world.settle()
    assert len(world.airflow.runs) == 1
    assert len(world.done) == 3


def test_place_of_an_mljob_that_need_not_be_read_goes_to_the_next() -> None:
    woken: list[Key] = []

    def wake(key: Key) -> None:
        woken.append(key)
        if key != FLOOD[MAX_UNDER_WAY]:
            assert look_ups.begin(key)

    look_ups = LookUps(wake)
    under_way, waiting = FLOOD[:MAX_UNDER_WAY], FLOOD[MAX_UNDER_WAY : MAX_UNDER_WAY + 4]
    assert all(look_ups.begin(key) for key in under_way)
    assert look_ups.begin(under_way[0]), "it is being read already"
    assert not any(look_ups.begin(key) for key in waiting)
    look_ups.forget(waiting[1])
    look_ups.end(("team-a", "another"))
    assert woken == []
    look_ups.end(under_way[0])
    assert woken == [waiting[0], waiting[2]]
    look_ups.stop()
    look_ups.end(under_way[1])
    assert woken == [waiting[0], waiting[2]]
