"""Functions for tests with the fake Airflow. They return or change the runs of MLJobs, change an
MLJob, or let time pass.
"""

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
    """Let ``number`` seconds pass, one by one. After each second, wake the MLJobs as
    :meth:`.World.wake_all` does.
    """
    for _ in range(number):
        await world.later(1)


async def begin(world: World) -> None:
    run = newest(world)
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    world.clock.tick(1)
    await world.look()


async def end(world: World, state: RunState) -> None:
    """End the newest run. ``state`` is the run's final state: success or failed. The run's first
    task succeeds, and the second task ends in the state of the run. Then the operator reads the
    change feed.
    """
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
