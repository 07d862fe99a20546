"""Functions that read and change the runs of MLJobs in the fake Airflow."""

from __future__ import annotations

from typing import Any

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import CANCEL_DAG, FakeRun

from .conftest import KEY, World


def newest(world: World) -> FakeRun:
    return [run for run in world.airflow.runs.values() if run.dag_id != CANCEL_DAG][-1]


def runs(world: World) -> list[str]:
    return [run.run_id for run in world.airflow.runs.values() if run.dag_id != CANCEL_DAG]


def active(world: World) -> int:
    return sum(
        run.state in (RunState.QUEUED, RunState.RUNNING)
        for run in world.airflow.runs.values()
        if run.dag_id != CANCEL_DAG
    )


async def seconds(world: World, number: int) -> None:
    for _ in range(number):
        await world.later(1)


async def begin(world: World) -> None:
    run = newest(world)
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    world.clock.tick(1)
    await world.look()


async def end(world: World, state: RunState) -> None:
    run = newest(world)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.airflow.end(run, state)
    world.clock.tick(1)
    await world.look()


async def finish(world: World, state: RunState = RunState.SUCCESS) -> None:
    run = world.airflow.only_run()
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.airflow.end(run, state)
    await world.tell(RunFact(state, StatusSource.KAFKA, world.clock(), world.clock()))


async def edit(world: World, **spec: Any) -> None:
    world.jobs.edit(KEY, spec)
    await world.see_all()
