"""Creates, changes and ends MLJobs that take the outputs of other MLJobs."""

from __future__ import annotations

from typing import Any

from mljob_contract.mljob import MLJobStatus
from mljob_operator.core.mljob.upstream import READ_AGAIN_AFTER
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import FakeRun

from .conftest import World

OUTPUTS = {"dataset": "digits", "rows": 2000}
LATER = READ_AGAIN_AFTER.total_seconds()


async def apply(world: World, name: str, *upstreams: str, **spec: Any) -> None:
    taken = [{"outputsRef": {"name": upstream}} for upstream in upstreams]
    conf_from = {"confFrom": taken} if taken else {}
    world.airflow.dags["predict"] = ("score",)
    world.jobs.create(name, {"dagId": "train", **conf_from, **spec}, at=world.clock().isoformat())
    await world.see_all()
    await world.see_all()


def status(world: World, name: str) -> MLJobStatus:
    return MLJobStatus.model_validate(world.jobs.objects["team-a", name]["status"])


def verdict(world: World, name: str) -> tuple[str, str]:
    return str(status(world, name).phase), str(status(world, name).reason)


def message(world: World, name: str) -> str:
    return status(world, name).message or ""


def condition(world: World, name: str, kind: str) -> str | None:
    return next((str(c.status) for c in status(world, name).conditions or () if c.type == kind), None)


def runs_of(world: World, name: str) -> list[FakeRun]:
    return [run for run in world.airflow.runs.values() if run.run_id.startswith(f"mljob.team-a.{name}.")]


async def end(
    world: World, name: str, outputs: dict[str, Any] | None = None, state: RunState = RunState.SUCCESS
) -> None:
    run = runs_of(world, name)[-1]
    run.outputs = OUTPUTS if outputs is None else outputs
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.airflow.end(run, state)
    world.clock.tick(1)
    await world.look()
    await world.see_all()


async def edit(world: World, name: str, **spec: Any) -> None:
    world.jobs.edit(("team-a", name), spec)
    await world.see_all()
    await world.see_all()


async def delete(world: World, name: str) -> None:
    uid = world.jobs.objects["team-a", name]["metadata"]["uid"]
    world.jobs.user_deletes(("team-a", name), world.clock())
    await world.see_all()
    assert ("team-a", name) not in world.jobs.objects
    world.observe_deletion(("team-a", name), uid)
    await world.settle()


WAITING = ("Pending", "WaitingForMLJob")
FAILED = ("Pending", "DependencyFailed")
