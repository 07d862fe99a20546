"""A response of the Kubernetes API is older than a change that the watch has delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.states import TaskState
from tests.strategies import event

from .conftest import KEY, World
from .runs import active, finish, newest, runs


def meanwhile(world: World, monkeypatch: pytest.MonkeyPatch, request: str, happens: Callable[[], Job | None]) -> None:
    """Delay the response to the next call of a method of ``world.jobs``. After the call has taken
    effect, and before the response arrives, ``happens`` changes the MLJob and the watch delivers
    this change.

    Args:
        world: The operator and its fakes.
        monkeypatch: Replaces the method for one call.
        request: The name of the method.
        happens: Changes the MLJob. Returns the changed MLJob, or None after a deletion.
    """
    method = getattr(world.jobs, request)

    async def slow(*args: Any, **kwargs: Any) -> Any:
        answer = await method(*args, **kwargs)
        monkeypatch.setattr(world.jobs, request, method)
        if (job := happens()) is not None:
            world.job_controller.observe(job)
        else:
            world.observe_deletion(KEY, args[0].uid)
        return answer

    monkeypatch.setattr(world.jobs, request, slow)


async def test_deletion_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply(cancellation={"strategy": "Api"})
    meanwhile(world, monkeypatch, "write_status", lambda: world.jobs.user_deletes(KEY, world.clock()))
    await world.tell(event("extract", TaskState.RUNNING))
    await world.later(5)
    assert not world.exists
    assert active(world) == 0


async def test_deletion_while_the_finalizer_is_added_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(world, monkeypatch, "set_finalizer", lambda: world.jobs.user_deletes(KEY, world.clock()))
    await world.apply()
    assert not world.exists
    assert runs(world) == []


async def test_spec_change_while_the_finalizer_is_removed_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply(runPolicy="OnChange")
    meanwhile(world, monkeypatch, "set_finalizer", lambda: world.jobs.edit(KEY, {"conf": {"epochs": 9}}))
    await finish(world)
    await world.settle()
    assert len(runs(world)) == 2
    assert newest(world).conf == {"epochs": 9}


async def test_deleted_mljob_is_not_tracked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply()

    def goes() -> None:
        world.jobs.objects[KEY]["metadata"]["finalizers"] = []
        world.jobs.user_deletes(KEY, world.clock())

    meanwhile(world, monkeypatch, "write_status", goes)
    await world.tell(event("extract", TaskState.RUNNING))
    assert KEY not in world.job_controller.workers.tracked
    assert world.done == [1], "nobody is left who needs the event"
