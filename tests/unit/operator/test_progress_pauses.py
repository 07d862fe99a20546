"""Patches about the progress of an MLJob have a pause between them, which grows with the load of the
Kubernetes API server.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.controllers.mljob import status_writer
from mljob_operator.controllers.mljob import workers as mljob_workers
from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.controllers.mljob.write_queue import WriteQueue
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.run_key import Key
from mljob_operator.core.run.states import RunState

from .conftest import KEY, World
from .doors import FOURTH, OTHER, Door, closed_door, count_steps, progress, rounds, say  # noqa: F401 - a fixture
from .runs import begin, newest


@contextmanager
def stopped_clock() -> Iterator[Callable[[float], None]]:
    """A context manager that stops the event loop's clock. Yield a function that advances the clock
    by a number of seconds.
    """
    loop, seconds = asyncio.get_running_loop(), asyncio.get_running_loop().time()

    def advance(by: float) -> None:
        nonlocal seconds
        seconds += by

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: seconds)
        yield advance


def worker_of(world: World, key: Key = KEY) -> WorkerState:
    worker = world.job_controller.workers.get(key)
    assert worker is not None
    return worker


@pytest.fixture
async def set_load(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that sets the average number of writes under way. The run of the MLJob ``KEY`` has
    begun.
    """
    await world.apply()
    await begin(world)
    await world.settle()

    def set_load(load: float) -> None:
        monkeypatch.setattr(WriteQueue, "load", property(lambda _: load))

    set_load(0.0)
    return set_load


async def test_progress_is_written_less_often_under_load_and_the_end_at_once(
    world: World, set_load: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.job_controller.workers, "_min_interval", 60)
    monkeypatch.setattr(mljob_workers, "LONGEST_REPORT_PAUSE", math.inf)
    steps, worker = count_steps(world, monkeypatch), worker_of(world)
    worker.written_at = asyncio.get_running_loop().time() - 61
    say(world, KEY, progress(0.1))
    await world.settle()
    assert steps == [KEY], "without load, one interval is enough"

    set_load(1.0)
    worker.written_at = asyncio.get_running_loop().time() - 61
    for percent in (20, 30):
        say(world, KEY, progress(percent / 100))
    await rounds()
    assert (steps, worker.report_timer is not None) == ([KEY], True), "with a write under way, an interval is too short"
    worker.written_at = asyncio.get_running_loop().time() - 60 * status_writer.MOST_INTERVALS - 1
    say(world, KEY, progress(0.4))
    await world.settle()
    assert steps == [KEY, KEY]
    assert world.status.tasks is not None
    assert {task.task_id: task.progress for task in world.status.tasks}["extract"] == 40

    worker.written_at = asyncio.get_running_loop().time() - 61
    say(world, KEY, progress(0.5))
    world.airflow.end(newest(world), RunState.FAILED)
    say(world, KEY, RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()))
    await world.settle()
    assert world.status.phase is Phase.FAILED


async def test_progress_that_waited_for_the_load_joins_the_queue_without_a_step(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.job_controller.workers, "_min_interval", 1)
    steps, worker = count_steps(world, monkeypatch), worker_of(world)
    with stopped_clock() as advance:
        worker.written_at = asyncio.get_running_loop().time()
        worker_of(world, FOURTH).written_at = -math.inf
        say(world, FOURTH, progress(0.5))
        say(world, KEY, progress(0.5))
        await rounds()
        assert not worker.awaits_turn
        advance(1.1)
        await rounds()
        assert worker.awaits_turn
        assert KEY not in steps
    door.open()
    await world.settle()
    assert steps.count(KEY) == 1


@pytest.mark.parametrize(("interval", "longest"), [(0, 0), (0.1, 0.8), (1, 4), (60, 60)])
async def test_pause_before_progress_has_a_limit(
    interval: float, longest: float, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply()
    workers = world.job_controller.workers
    monkeypatch.setattr(workers, "_min_interval", interval)
    worker = worker_of(world)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: worker.written_at)
    worker.written_at = 100.0
    assert workers.pause_of(worker, status_writer.MOST_INTERVALS) == pytest.approx(longest)


async def test_progress_is_written_although_the_load_grows_during_its_pause(
    world: World, set_load: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.job_controller.workers, "_min_interval", 0.1)
    steps, worker = count_steps(world, monkeypatch), worker_of(world)
    with stopped_clock() as advance:
        worker.written_at = asyncio.get_running_loop().time()
        say(world, KEY, progress(0.5))
        set_load(1.0)
        advance(0.11)
        await rounds()
        assert steps == [], "the pause is longer now"
        advance(0.1 * status_writer.MOST_INTERVALS)
        await rounds()
        assert steps == [KEY]
    await world.settle()
    assert worker.unstored == []


async def test_planned_step_does_not_wait_for_the_turn_of_progress(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.job_controller.workers, "_min_interval", 1)
    steps, worker = count_steps(world, monkeypatch), worker_of(world)
    with stopped_clock() as advance:
        world.job_controller.workers.wake_after(KEY, 5)
        worker.written_at = asyncio.get_running_loop().time()
        worker_of(world, FOURTH).written_at = -math.inf
        say(world, FOURTH, progress(0.5))
        say(world, KEY, progress(0.5))
        advance(1.1)
        await rounds()
        assert worker.awaits_turn
        assert KEY not in steps
        advance(5)
        await rounds()
        assert KEY in steps, "the MLJob acts on its deadline"
        assert door.keys == [OTHER]
