"""What happens to the child runs of a run when the operator cancels the run. A child run is a run
that a task of another run has started.
"""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.children import Child
from mljob_operator.core.run.states import RunState
from tests.fakes.airflow import FakeRun

from .conftest import World
from .runs import begin, edit

CHILD = ("days", "manual__child")


async def with_child(world: World, children: str, *, by_task: bool = True) -> FakeRun:
    await world.apply(cancellation={"strategy": "Api", "children": children})
    await begin(world)
    child = world.airflow.queue(*CHILD, {})
    world.airflow.only_run().children = [Child(*CHILD, by_task)]
    return child


@pytest.mark.parametrize("how", ["deleted", "cancelled"])
async def test_child_runs_continue_by_default_and_an_event_names_them(world: World, how: str) -> None:
    child = await with_child(world, "Leave")
    await (world.delete() if how == "deleted" else edit(world, cancel=True))
    assert world.airflow.only_run().state is RunState.FAILED
    assert child.state is RunState.QUEUED
    assert world.event_reasons.count("ChildrenLeft") == 1
    (notice,) = [notice for _, notice in world.jobs.kube_events if notice.reason == "ChildrenLeft"]
    assert "manual__child of DAG days" in notice.message
    assert "spec.cancellation.children" in notice.message


async def test_value_of_a_secret_in_a_child_run_id_is_redacted(world: World) -> None:
    world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
    await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}], cancellation={"strategy": "Api"})
    await begin(world)
    world.airflow.queue("days", "manual__hunter2", {})
    world.airflow.only_run().children = [Child("days", "manual__hunter2", True)]
    await world.delete()
    (notice,) = [notice for _, notice in world.jobs.kube_events if notice.reason == "ChildrenLeft"]
    assert "hunter2" not in notice.message
    assert "of DAG days" in notice.message


async def test_child_runs_are_cancelled_if_the_spec_says_so(world: World) -> None:
    child = await with_child(world, "Cancel")
    await world.delete()
    assert child.state is RunState.FAILED
    assert world.event_reasons.count("ChildrenCancelled") == 1
    assert "ChildrenLeft" not in world.event_reasons


async def test_run_that_no_task_has_triggered_is_left_alone(world: World) -> None:
    child = await with_child(world, "Cancel", by_task=False)
    await world.delete()
    assert child.state is RunState.QUEUED
    assert world.event_reasons.count("ChildrenLeft") == 1


async def test_unreachable_airflow_does_not_delay_a_deletion_that_keeps_child_runs(world: World) -> None:
    await with_child(world, "Leave")
    world.airflow.down_for["children"] = 100
    await world.delete()
    assert not world.exists


async def test_cancelling_child_runs_is_retried_until_the_timeout(world: World) -> None:
    child = await with_child(world, "Cancel")
    world.airflow.down_for["children"] = 2
    await world.delete()
    assert world.exists
    for _ in range(8):
        await world.later(5)
    assert child.state is RunState.FAILED
    assert not world.exists


async def test_child_runs_are_left_alone_when_their_parent_ends_by_itself(world: World) -> None:
    await with_child(world, "Cancel")
    run = world.airflow.only_run()
    world.airflow.end(run, RunState.FAILED)
    await world.look()
    await world.later(5)
    assert world.status.phase is Phase.FAILED
    assert "children" not in world.airflow.calls
