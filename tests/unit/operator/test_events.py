"""Kafka events and changes in Airflow update the status of an MLJob."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from tests.strategies import event

from .conftest import World
from .runs import end, newest, runs


async def test_events_update_the_status(world: World) -> None:
    await world.apply()
    await world.look()
    await world.tell(event("extract", TaskState.RUNNING))
    assert (world.status.phase, world.status.current_task, world.status.progress) == (Phase.RUNNING, "extract", "0/2")
    assert world.status.status_source is StatusSource.KAFKA
    await world.tell(event("extract", TaskState.SUCCESS, seconds=1))
    assert world.status.progress == "1/2"
    assert len(world.done) == 2


async def test_change_feed_alone_updates_the_status_without_kafka(world: World) -> None:
    await world.apply()
    run = world.airflow.only_run()
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.RUNNING)
    await world.look()
    assert (world.status.phase, world.status.status_source) == (Phase.RUNNING, StatusSource.REST)
    for task_id in ("extract", "fit"):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    world.clock.tick(1)
    await world.look()
    assert world.status.phase is Phase.SUCCEEDED


async def test_event_of_another_run_changes_nothing(world: World) -> None:
    await world.apply()
    before = world.status
    await world.tell(event("fit", TaskState.RUNNING), run_id="mljob.team-a.churn.aaaaaaaaaa-1")
    assert world.status == before
    assert world.done, "and is not waited for"


async def test_event_of_an_earlier_run_changes_nothing(world: World) -> None:
    await world.apply(backoffLimit=1, retryStrategy="NewRun")
    first = runs(world)[0]
    await end(world, RunState.FAILED)
    await world.later(10)
    before = world.status
    await world.tell(event("fit", TaskState.RUNNING), run_id=first)
    assert world.status == before


async def test_event_of_a_deleted_mljob_is_acknowledged(world: World) -> None:
    world.job_controller.observe_event(
        ("team-a", "stranger"),
        {RunKey(SETTINGS_AIRFLOW, "train", "mljob.team-a.stranger.aaaaaaaaaa-1")},
        event("fit", TaskState.RUNNING),
        lambda: world.done.append(1),
    )
    await world.settle()
    assert world.done == [1]
    assert not world.job_controller.workers.tracked


async def test_task_whose_change_is_dated_before_its_run_was_queued_stays_in_the_status(world: World) -> None:
    await world.apply()
    run = newest(world)
    world.airflow.begin(run)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    # The clocks of Airflow's hosts differ.
    run.tasks["extract", -1] = replace(run.tasks["extract", -1], occurred_at=run.queued_at - timedelta(seconds=3))
    await world.look()
    assert world.status.progress == "1/2"
    world.clock.tick(10)
    await world.look()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    await world.look()
    assert world.status.task_counts is not None
    assert (world.status.progress, world.status.task_counts.total) == ("1/2", 2)
