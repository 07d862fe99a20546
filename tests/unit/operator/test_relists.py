"""The change feed is read on if the list of all active runs takes long, or is too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import AirflowListTooLong, AirflowUnavailable
from mljob_operator.ports import RunChange
from mljob_operator.sources.change_feed import RELIST_INTERVAL
from tests.simulation.virtual_time import VirtualLoop

from .conftest import World
from .runs import begin, newest
from .test_runs_vanished import Cluster

MINUTE = RELIST_INTERVAL.total_seconds()
GAVE_UP = "The list of dag_runs has not ended after 300 s."
SAYS = "the list of active runs is too long to be read"


class TooLongRelists:
    """Makes the list of active runs of a fake Airflow too long.

    Attributes:
        is_long: Whether the list is too long.
        count: How many times the list was requested.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_long = True
        self.count = 0
        real = world.airflow.active_runs

        async def active_runs() -> list[RunChange]:
            self.count += 1
            if self.is_long:
                raise AirflowListTooLong(GAVE_UP)
            return await real()

        monkeypatch.setattr(world.airflow, "active_runs", active_runs)


async def test_list_that_is_too_long_is_requested_again_after_the_usual_interval(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await world.apply()
    await begin(world)
    relists = TooLongRelists(world, monkeypatch)
    caplog.set_level(logging.INFO)
    for _ in range(2):
        world.clock.tick(MINUTE)
        for _ in range(5):
            assert (await world.resync.guarded_pass())[0] == 5, "the pass has succeeded"
            world.clock.tick(1)
    assert relists.count == 2
    assert caplog.text.count(SAYS) == 1
    relists.is_long = False
    for _ in range(2):
        world.clock.tick(MINUTE)
        await world.look()
    assert caplog.text.count("the list of active runs can be read again") == 1
    relists.is_long = True
    world.clock.tick(MINUTE)
    await world.look()
    assert caplog.text.count(SAYS) == 2


async def test_missing_run_does_not_make_a_list_that_is_too_long_more_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Cluster()
    await world.begin()
    relists = TooLongRelists(world, monkeypatch)
    world.clock.tick(MINUTE)
    await world.read()
    world.empty(keep=4)
    world.job_controller.request_look_up(("team-a", "job-4"))
    await world.minutes(2)
    assert relists.count == 3
    assert world.of("job-4").phase == "Running", "no list has confirmed the absence"
    relists.is_long = False
    await world.minutes(2)
    assert world.of("job-4").reason == "DagRunDeleted"


class SlowRelists:
    """Makes each list of active runs of a fake Airflow take ``SECONDS``.

    Attributes:
        ends: How each list has ended.
    """

    SECONDS = 300

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: list[str] = []
        self.error: Exception | None = None
        real = world.airflow.active_runs

        async def active_runs() -> list[RunChange]:
            try:
                await asyncio.sleep(self.SECONDS)
            except asyncio.CancelledError:
                self.ends.append("cancelled")
                raise
            self.ends.append("answered")
            if self.error is not None:
                raise self.error
            return await real()

        monkeypatch.setattr(world.airflow, "active_runs", active_runs)


def in_virtual_time(test: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await world.apply()
        await begin(world)
        world.clock.tick(MINUTE)
        await test(world)
        await world.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


async def read_for(world: World, seconds: float) -> None:
    """Read the change feed for some seconds, and then stop its reader."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await world.resync.run()


def test_feed_is_read_while_the_list_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        relists, asked = SlowRelists(world, monkeypatch), len(world.airflow.calls)
        world.airflow.set_task(newest(world), "extract", TaskState.SUCCESS)
        reading = asyncio.create_task(read_for(world, SlowRelists.SECONDS - 1))
        await asyncio.sleep(60)
        world.airflow.end(newest(world), RunState.SUCCESS)
        await reading
        assert world.airflow.calls[asked:].count("changed_runs") > 40
        assert world.status.phase == "Succeeded"
        assert relists.ends == ["cancelled"], "the list ends with its reader"

    in_virtual_time(test)


def test_list_that_takes_long_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        relists = SlowRelists(world, monkeypatch)
        world.airflow.runs.clear()
        asked = len(world.airflow.calls)
        await read_for(world, SlowRelists.SECONDS + 10)
        assert relists.ends == ["answered"]
        assert "get" in world.airflow.calls[asked:], "the missing run is looked up"

    in_virtual_time(test)


def test_error_of_a_list_that_takes_long_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        relists = SlowRelists(world, monkeypatch)
        relists.error = AirflowUnavailable("Airflow has gone")
        await read_for(world, SlowRelists.SECONDS + 20)
        assert relists.ends[0] == "answered"
        assert "the change feed can't be read" in caplog.text
        assert "Airflow has gone" in caplog.text

    in_virtual_time(test)
