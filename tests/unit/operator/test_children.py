"""Runs that a cancelled run had started: they are told of, and ended where the spec says so and the namespace may."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.children import Child, may_be_ended
from mljob_operator.core.run.run_key import RunKey
from mljob_operator.core.run.states import RunState
from tests.fakes.airflow import FakeRun

from .conftest import World
from .runs import begin, edit

CHILD = ("days", "manual__child")


async def with_child(world: World, children: str, *, by_task: bool = True) -> FakeRun:
    """An MLJob whose run has started a run of another DAG; that run."""
    await world.apply(cancellation={"strategy": "Api", "children": children})
    await begin(world)
    child = world.airflow.queue(*CHILD, {})
    world.airflow.only_run().children = [Child(*CHILD, by_task)]
    return child


@pytest.mark.parametrize("how", ["deleted", "cancelled"])
async def test_by_default_they_go_on_and_an_event_names_them(world: World, how: str) -> None:
    child = await with_child(world, "Leave")
    await (world.delete() if how == "deleted" else edit(world, cancel=True))
    assert world.airflow.only_run().state is RunState.FAILED
    assert child.state is RunState.QUEUED
    assert world.told.count("ChildrenLeft") == 1
    (notice,) = [notice for _, notice in world.jobs.kube_events if notice.reason == "ChildrenLeft"]
    assert "manual__child of DAG days" in notice.message
    assert "spec.cancellation.children" in notice.message


async def test_what_came_from_a_secret_is_not_told_with_the_id_of_a_run(world: World) -> None:
    world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
    await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}], cancellation={"strategy": "Api"})
    await begin(world)
    world.airflow.queue("days", "manual__hunter2", {})
    world.airflow.only_run().children = [Child("days", "manual__hunter2", True)]
    await world.delete()
    (notice,) = [notice for _, notice in world.jobs.kube_events if notice.reason == "ChildrenLeft"]
    assert "hunter2" not in notice.message
    assert "of DAG days" in notice.message


async def test_they_are_ended_where_the_spec_says_so(world: World) -> None:
    child = await with_child(world, "Cancel")
    await world.delete()
    assert child.state is RunState.FAILED
    assert world.told.count("ChildrenCancelled") == 1
    assert "ChildrenLeft" not in world.told


async def test_a_run_that_no_task_has_started_is_left(world: World) -> None:
    """What a task says of its children is a claim."""
    child = await with_child(world, "Cancel", by_task=False)
    await world.delete()
    assert child.state is RunState.QUEUED
    assert world.told.count("ChildrenLeft") == 1


async def test_an_airflow_that_is_away_keeps_no_deletion_waiting(world: World) -> None:
    await with_child(world, "Leave")
    world.airflow.down_for["children"] = 100
    await world.delete()
    assert not world.exists


async def test_where_they_are_to_be_ended_it_is_tried_again_until_time_is_up(world: World) -> None:
    child = await with_child(world, "Cancel")
    world.airflow.down_for["children"] = 2
    await world.delete()
    assert world.exists
    for _ in range(8):
        await world.later(5)
    assert child.state is RunState.FAILED
    assert not world.exists


async def test_a_run_that_ends_by_itself_has_its_children_left_in_peace(world: World) -> None:
    await with_child(world, "Cancel")
    run = world.airflow.only_run()
    world.airflow.end(run, RunState.FAILED)
    await world.look()
    await world.later(5)
    assert world.status.phase is Phase.FAILED
    assert "children" not in world.airflow.calls


@pytest.mark.parametrize(
    ("child", "allowed", "ended"),
    [
        pytest.param(Child("days", "manual__1", True), True, True, id="a task's run of a DAG that is allowed"),
        pytest.param(Child("days", "manual__1", True), False, False, id="of a DAG that is not"),
        pytest.param(Child("days", "manual__1", False), True, False, id="a person's run"),
        pytest.param(Child("days", "mljob.team-a.churn.aaaaaaaaaa-1", True), True, True, id="under its parent's id"),
        pytest.param(Child("days", "mljob.team-b.fraud.bbbbbbbbbb-1", True), True, False, id="another MLJob's run"),
    ],
)
def test_a_claim_of_a_task_ends_no_run_of_somebody_elses(child: Child, allowed: bool, ended: bool) -> None:
    parent = RunKey("", "train", "mljob.team-a.churn.aaaaaaaaaa-1")
    assert may_be_ended(child, parent, "mljob", allowed=allowed) is ended
