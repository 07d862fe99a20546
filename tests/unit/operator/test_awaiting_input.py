"""A task of the run waits for a person's input."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase, TaskStatus
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import FakeRun
from tests.strategies import event

from .conftest import World

RUN_URL = "http://airflow/dags/train/runs/"


@pytest.fixture
async def run(world: World) -> FakeRun:
    world.airflow.dags["train"] = ("extract", "approve")
    await world.apply()
    run = world.airflow.only_run()
    world.airflow.begin(run)
    await world.look()
    return run


async def ask(world: World, run: FakeRun, subject: str | None, task_id: str = "approve", map_index: int = -1) -> None:
    world.clock.tick(1)
    world.airflow.set_task(run, task_id, TaskState.AWAITING_INPUT, map_index=map_index)
    if subject is not None:
        run.questions[task_id, map_index] = subject
    await world.look()


def entry(world: World, task_id: str = "approve") -> TaskStatus:
    return next(task for task in world.status.tasks or () if task.task_id == task_id)


async def test_status_says_what_is_asked_and_where_to_answer(world: World, run: FakeRun) -> None:
    await ask(world, run, "Deploy churn?")
    status, waiting = world.status, entry(world).input
    assert (status.phase, status.reason, status.current_task) == (Phase.RUNNING, "AwaitingInput", "approve")
    assert waiting is not None
    assert waiting.url == f"{RUN_URL}{run.run_id}/tasks/approve/required_actions"
    assert (waiting.subject, waiting.instances, entry(world).state) == ("Deploy churn?", None, "awaiting_input")
    assert status.message == (
        f"Task approve waits for a person's answer (0/2 tasks succeeded): Deploy churn? Answer at {waiting.url}"
    )
    assert world.event_reasons[-1] == "AwaitingInput"
    assert waiting.url in world.jobs.kube_events[-1][1].message


async def test_question_is_read_and_reported_once_for_each_wait(world: World, run: FakeRun) -> None:
    await ask(world, run, "Deploy churn?")
    for _ in range(3):
        world.clock.tick(5)
        await world.look()
    await world.restart()
    world.clock.tick(5)
    await world.look()
    assert world.airflow.calls.count("questions") == 1, "a restarted process reads it from the status"
    assert world.event_reasons.count("AwaitingInput") == 1

    await world.tell(event("approve", TaskState.RUNNING, seconds=30, observed_at=world.clock()))
    await ask(world, run, "Really?")
    assert entry(world).input is not None
    assert (world.airflow.calls.count("questions"), world.event_reasons.count("AwaitingInput")) == (2, 2)
    assert "Really?" in world.message


async def test_answered_run_continues(world: World, run: FakeRun) -> None:
    await ask(world, run, "Deploy churn?")
    world.clock.tick(1)
    world.airflow.set_task(run, "approve", TaskState.SUCCESS)
    await world.look()
    assert (entry(world).state, entry(world).input, world.status.reason) == ("success", None, "Running")


async def test_stale_rest_response_does_not_report_the_question_again(world: World, run: FakeRun) -> None:
    await ask(world, run, "Deploy churn?")
    asked_before = world.clock()
    world.clock.tick(1)
    await world.tell(event("approve", TaskState.RUNNING, seconds=30, observed_at=world.clock()))
    now, world.clock.at = world.clock.at, asked_before
    await world.look()
    world.clock.at = now
    assert (entry(world).state, world.event_reasons.count("AwaitingInput")) == ("running", 1)


async def test_status_with_several_waiting_tasks_links_to_the_run(world: World, run: FakeRun) -> None:
    for index in range(3):
        world.airflow.set_task(run, "label", TaskState.AWAITING_INPUT, map_index=index)
        run.questions["label", index] = f"Label picture {index}"
    await ask(world, run, "Deploy churn?")
    waiting = entry(world, "label").input
    assert waiting is not None
    assert (waiting.subject, waiting.instances) == ("Label picture 0", 3)
    assert waiting.url == f"{RUN_URL}{run.run_id}/required_actions"
    assert "(3 more wait as well)" in world.message
    assert world.airflow.calls.count("questions") == 1
    assert world.event_reasons.count("AwaitingInput") == 2, "one for each task"

    for index in (0, 2):
        world.airflow.set_task(run, "label", TaskState.SUCCESS, map_index=index)
    world.clock.tick(1)
    await world.look()
    waiting = entry(world, "label").input
    assert waiting is not None
    assert (waiting.subject, waiting.instances) == ("Label picture 1", 1)
    assert waiting.url == f"{RUN_URL}{run.run_id}/tasks/label/mapped/1/required_actions"


async def test_wait_is_reported_even_if_its_question_is_unknown(world: World, run: FakeRun) -> None:
    await ask(world, run, None)
    world.clock.tick(5)
    await world.look()
    waiting = entry(world).input
    assert waiting is not None
    assert (waiting.subject, world.status.reason) == (None, "AwaitingInput")
    assert waiting.url is not None
    assert world.airflow.calls.count("questions") == 1


async def test_question_is_read_again_after_airflow_was_unreachable(world: World, run: FakeRun) -> None:
    world.airflow.down_for = {"questions": 1}
    await ask(world, run, "Deploy churn?")
    assert (world.status.reason, entry(world).input.subject) == ("AwaitingInput", None)  # type: ignore[union-attr]
    await world.later(2)
    assert entry(world).input.subject == "Deploy churn?"  # type: ignore[union-attr]
    assert world.event_reasons.count("AwaitingInput") == 1


async def test_run_that_is_cancelled_while_it_waits_ends(world: World, run: FakeRun) -> None:
    await ask(world, run, "Deploy churn?")
    await world.delete()
    assert world.status.phase is Phase.CANCELLING
    world.airflow.set_task(run, "approve", TaskState.FAILED)
    world.airflow.end(run, RunState.FAILED)
    world.clock.tick(1)
    await world.look()
    assert not world.exists


async def test_deferred_is_reported_only_if_no_other_task_runs(world: World, run: FakeRun) -> None:
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    world.airflow.set_task(run, "approve", TaskState.DEFERRED)
    await world.look()
    assert (world.status.reason, world.status.current_task) == ("TaskRunning", "extract")
    world.clock.tick(1)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    await world.look()
    assert (world.status.reason, world.status.current_task) == ("TaskDeferred", "approve")
    assert "triggerer" in world.message


async def test_rescheduled_sensor_is_not_reported_as_running(world: World, run: FakeRun) -> None:
    world.airflow.set_task(run, "extract", TaskState.UP_FOR_RESCHEDULE)
    await world.look()
    assert (world.status.reason, world.status.current_task) == ("TaskRescheduled", "extract")
    assert "Task extract is rescheduled" in world.message
    world.clock.tick(1)
    world.airflow.set_task(run, "approve", TaskState.RUNNING)
    await world.look()
    assert (world.status.reason, world.status.current_task) == ("TaskRunning", "approve")
