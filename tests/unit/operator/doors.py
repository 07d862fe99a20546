"""A Kubernetes API server that answers no status patch until the test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.controllers.mljob.write_pace import WritePace
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.facts import Report, TaskFact
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, Key, RunKey
from mljob_operator.core.run.states import TaskState
from tests.strategies import event

from .conftest import World
from .runs import begin

OTHER = ("team-a", "other")
THIRD = ("team-a", "third")
FOURTH = ("team-a", "fourth")


class Door:
    """Records the operator's status patches, and limits the operator to one patch at a time. While
    the door is closed, no patch gets an answer.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patches: list[tuple[Key, Mapping[str, Any]]] = []
        self._is_open = asyncio.Event()
        self._is_open.set()
        write = world.jobs.write_status

        async def write_status(job: Job, patch: Mapping[str, Any]) -> Job:
            self.patches.append((job.key, patch))
            await self._is_open.wait()
            return await write(job, patch)

        monkeypatch.setattr(world.jobs, "write_status", write_status)
        monkeypatch.setattr(WritePace, "limit", 1)

    def close(self) -> None:
        self.patches.clear()
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    @property
    def keys(self) -> list[Key]:
        return [key for key, _ in self.patches]


@pytest.fixture(name="door")
async def closed_door(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """A closed :class:`Door`. The operator has sent a status patch for the MLJob ``OTHER``. This
    patch has no answer yet, so all other patches wait.
    """
    await world.apply()
    await begin(world)
    for _, name in (OTHER, FOURTH):
        world.jobs.create(name, {"dagId": "train"}, at=world.clock().isoformat())
        await world.see_all()
        await begin(world)
    world.jobs.create(THIRD[1], {"dagId": "train"}, at=world.clock().isoformat())
    await world.see_all()
    world.clock.tick(1)
    await world.look()
    door = Door(world, monkeypatch)
    door.close()
    say(world, OTHER, progress(0.1))
    await rounds()
    assert door.keys == [OTHER]
    yield door
    door.open()


def progress(share: float) -> TaskFact:
    return event(
        "extract", TaskState.RUNNING, progress=Report(1, event("extract", TaskState.RUNNING).occurred_at, share)
    )


async def rounds() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def say(world: World, key: Key, *facts: Any) -> None:
    (run_id,) = [run.run_id for run in world.airflow.runs.values() if run.run_id.startswith(f"mljob.team-a.{key[1]}.")]
    for fact in facts:
        run = RunKey(SETTINGS_AIRFLOW, "train", run_id)
        world.job_controller.observe_event(key, {run}, fact, lambda: world.done.append(1))


def count_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """Return a list that gets the key of each MLJob whose worker starts a step from now on."""
    steps: list[Key] = []
    all_steps = world.job_controller.workers._steps
    take = all_steps.take

    async def counted(key: Key, worker: WorkerState) -> float | None:
        steps.append(key)
        return await take(key, worker)

    monkeypatch.setattr(all_steps, "take", counted)
    return steps
