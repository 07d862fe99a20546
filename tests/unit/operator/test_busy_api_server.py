from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.controllers.mljob import event_limits, status_writer
from mljob_operator.controllers.mljob.worker_state import MAX_UNREAD_SNAPSHOTS
from mljob_operator.controllers.mljob.write_pace import WritePace
from mljob_operator.controllers.mljob.write_queue import Priority
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.status.events import NORMAL, WARNING, KubeEvent
from mljob_operator.core.status.significance import REFINEMENT_WAITS
from mljob_operator.errors import StoreUnavailable
from tests.strategies import event

from .conftest import KEY, World
from .doors import FOURTH, OTHER, THIRD, Door, closed_door, count_steps, progress, rounds, say  # noqa: F401 - a fixture
from .runs import begin, newest


async def test_reports_that_wait_become_one_patch(world: World, door: Door) -> None:
    for percent in (10, 20, 30):
        say(world, KEY, progress(percent / 100))
        await rounds()
    assert (door.keys, world.done) == ([OTHER], []), "no offset is committed before its status is stored"
    door.open()
    await world.settle()
    assert door.keys == [OTHER, KEY]
    assert world.status.tasks is not None
    assert {task.task_id: task.progress for task in world.status.tasks}["extract"] == 30
    assert len(world.done) == 4


async def test_end_comes_before_progress_that_waits_longer(world: World, door: Door) -> None:
    say(world, KEY, progress(0.5))
    await rounds()
    run = newest(world)
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    say(world, THIRD, RunFact(RunState.SUCCESS, StatusSource.KAFKA, world.clock(), world.clock()))
    await rounds()
    assert door.keys == [OTHER]
    door.open()
    await world.settle()
    assert door.keys[:3] == [OTHER, THIRD, KEY]
    assert door.patches[1][1]["phase"] == "Succeeded"


async def test_event_of_a_running_mljob_is_left_out(world: World, door: Door) -> None:
    before = world.event_reasons.count("Running")
    world.airflow.begin(newest(world))
    await world.resync.pass_once()
    await rounds()
    for key in (KEY, FOURTH):
        say(world, key, progress(0.2))
    await rounds()
    door.open()
    await world.settle()
    assert (door.keys, door.patches[1][1]["phase"]) == ([OTHER, THIRD, KEY, FOURTH], "Running")
    assert world.event_reasons.count("Running") == before


async def pause(world: World, namespace: str) -> asyncio.Task[None]:
    """Let the API server ask for a pause of a namespace. Return an Event's write that waits for the
    end of the pause.
    """
    queue = world.job_controller._writer._writes

    async def refuse() -> None:
        raise StoreUnavailable("429", retry_after=3600)

    with pytest.raises(StoreUnavailable):
        await queue.send(Priority.PROGRESS, refuse, namespace=namespace)
    event = asyncio.create_task(queue.send(Priority.EVENT, refuse, namespace=namespace))
    await rounds()
    assert queue.has_waiting(namespace)
    return event


async def test_event_of_a_running_mljob_is_recorded_while_another_namespace_pauses(world: World) -> None:
    await world.apply()
    waiting = await pause(world, "team-b")
    await begin(world)
    assert world.event_reasons.count("Running") == 1
    waiting.cancel()


async def test_number_of_events_that_are_not_recorded_yet_is_limited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_limits, "MAX_EVENTS_OF_NAMESPACE", 2)
    await world.apply()
    await world.settle()
    writer, job = world.job_controller._writer, await anext(aiter(world.jobs.list()))
    for _ in range(2):
        before = len(world.jobs.kube_events)
        for kind in (NORMAL, WARNING):
            for number in range(5):
                writer._record(job, KubeEvent(kind, f"{kind} {number}", "Waits, or is left out"))
        assert len(writer.tasks) == 4
        await world.settle()
        recorded = [event.reason for _, event in world.jobs.kube_events[before:]]
        assert recorded == ["Normal 0", "Normal 1", "Warning 0", "Warning 1"]


async def test_mljob_whose_namespace_need_not_wait_takes_no_turn_early(world: World) -> None:
    waiting = await pause(world, "team-b")
    writer = world.job_controller._writer
    assert not writer.joins_queue(KEY, Priority.FIRST)
    assert not writer._writes._turns
    assert writer.joins_queue(("team-b", "job"), Priority.FIRST)
    waiting.cancel()


async def test_deleted_mljob_leaves_the_queue(world: World, door: Door) -> None:
    say(world, KEY, progress(0.5))
    await rounds()
    uid = world.jobs.objects.pop(KEY)["metadata"]["uid"]
    world.observe_deletion(KEY, uid)
    door.open()
    await world.settle()
    say(world, OTHER, progress(0.9))
    await world.settle()
    assert door.keys == [OTHER, OTHER], "the turn of the deleted MLJob is not lost"


async def test_change_that_is_taken_back_while_it_waits_is_not_written(world: World, door: Door) -> None:
    assert world.status.phase is Phase.RUNNING
    say(world, KEY, progress(0.5))
    await rounds()
    worker = world.job_controller.workers.get(KEY)
    assert worker is not None
    assert worker.awaits_turn
    world.job_controller.workers.wake(KEY)
    await rounds()
    assert worker.awaits_turn
    assert door.keys == [OTHER]
    door.open()
    await world.settle()
    assert not worker.awaits_turn


async def test_progress_that_has_to_wait_takes_one_step_at_its_turn(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(world, monkeypatch)
    say(world, FOURTH, progress(0.5))
    await rounds()
    assert steps == [FOURTH], "nothing waits yet"
    say(world, KEY, event("extract", TaskState.RUNNING))
    say(world, KEY, event("extract", TaskState.SUCCESS), event("fit", TaskState.RUNNING))
    say(world, FOURTH, event("extract", TaskState.SUCCESS))
    await rounds()
    assert steps == [FOURTH]
    door.open()
    await world.settle()
    assert (steps.count(KEY), steps.count(FOURTH), door.keys) == (1, 2, [OTHER, FOURTH, KEY])
    assert world.status.tasks is not None
    assert [task.state for task in world.status.tasks][:2] == ["success", "running"]
    assert len(world.done) == 6


async def test_end_of_a_run_does_not_wait_for_the_turn_of_its_progress(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(world, FOURTH, progress(0.5))
    say(world, KEY, progress(0.5))
    await rounds()
    steps = count_steps(world, monkeypatch)
    run = newest(world)
    world.airflow.end(run, RunState.FAILED)
    say(world, THIRD, RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()))
    await rounds()
    assert steps == [THIRD]
    door.open()
    await world.settle()
    assert door.keys[:2] == [OTHER, THIRD]


async def test_mljob_gets_no_turn_before_its_status_may_be_written_again(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.job_controller.workers, "_min_interval", 60)
    queue, sent = world.job_controller._writer._writes, asyncio.Event()

    async def send() -> None:
        sent.set()

    later = asyncio.create_task(queue.send(Priority.EVENT, send))
    await rounds()
    say(world, KEY, progress(0.5))
    await rounds()
    assert not sent.is_set()
    door.open()
    await rounds()
    assert sent.is_set(), "no turn is left unused"
    await later


async def test_start_of_a_run_does_not_wait_for_the_turn_of_progress(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(world, FOURTH, progress(0.5))
    say(world, KEY, progress(0.5))
    await rounds()
    queued = RunFact(RunState.QUEUED, StatusSource.KAFKA, world.clock(), world.clock())
    say(world, THIRD, queued)
    await rounds()
    third = world.job_controller.workers.get(THIRD)
    assert third is not None
    assert third.awaits_turn
    steps = count_steps(world, monkeypatch)
    for _ in range(2):
        say(world, THIRD, replace(queued, state=RunState.RUNNING))
        await rounds()
    assert steps == [THIRD], "the place of the MLJob has the priority of a start"
    door.open()
    await world.settle()
    assert door.keys[:2] == [OTHER, THIRD]
    assert door.patches[1][1]["phase"] == "Running"


async def test_more_exact_time_takes_no_step_while_it_waits_for_its_turn(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.open()
    say(world, KEY, event("fit", TaskState.RUNNING))
    await world.settle()
    door.close()
    say(world, OTHER, progress(0.2))
    started = world.clock() - timedelta(seconds=2)
    say(world, KEY, event("fit", TaskState.RUNNING, start=started))
    await rounds()
    assert door.keys == [OTHER]
    world.clock.tick(REFINEMENT_WAITS.total_seconds())
    steps = count_steps(world, monkeypatch)
    world.job_controller.workers.wake(KEY)
    await rounds()
    assert steps == [KEY]
    door.open()
    await world.settle()
    assert (steps, door.keys) == ([KEY, KEY], [OTHER, KEY])
    assert world.status.tasks is not None
    assert {task.task_id: task.start_time for task in world.status.tasks}["fit"] == started


async def test_end_of_the_last_task_is_not_left_for_the_turn_of_the_mljob(world: World, door: Door) -> None:
    early_pass = world.job_controller.early_pass(SETTINGS_AIRFLOW)
    followed = world.job_controller.lister.followed(SETTINGS_AIRFLOW)
    say(world, FOURTH, progress(0.5))
    await rounds()
    early_pass.clear()
    say(world, KEY, event("extract", TaskState.SUCCESS))
    await rounds()
    assert (early_pass.is_set(), KEY in followed.hot) == (False, False)
    say(world, KEY, event("fit", TaskState.SUCCESS))
    await rounds()
    assert (early_pass.is_set(), KEY in followed.hot) == (True, True), "the end of the run is looked for"
    assert door.keys == [OTHER]


async def test_answers_of_airflow_about_a_waiting_mljob_do_not_pile_up(world: World, door: Door) -> None:
    say(world, FOURTH, progress(0.5))
    await rounds()
    run = next(run for run in world.airflow.runs.values() if f".{KEY[1]}." in run.run_id)
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    worker = world.job_controller.workers.get(KEY)
    assert worker is not None
    for _ in range(100):
        world.clock.tick(0.1)
        await world.resync.pass_once()
        await rounds()
        assert len(worker.inbox.snapshots) <= MAX_UNREAD_SNAPSHOTS
    assert worker.awaits_turn
    door.open()
    await world.settle()
    assert world.status.tasks is not None
    assert world.status.tasks[0].state == "success"


async def test_new_mljobs_wait_for_their_first_write_without_a_step(world: World, door: Door) -> None:
    say(world, KEY, progress(0.5))
    await rounds()
    names = [f"new-{number}" for number in range(5)]
    created = [world.jobs.create(name, {"dagId": "train"}, at=world.clock().isoformat()) for name in names]
    async for job in world.jobs.list():
        world.job_controller.observe(job)
    await rounds()
    workers = [world.job_controller.workers.get(job.key) for job in created]
    assert [(worker.awaits_turn, worker.task) for worker in workers if worker is not None] == [(True, None)] * 5
    world.jobs.user_deletes(created[0].key, world.clock())
    world.observe_deletion(created[0].key, created[0].uid)
    door.open()
    await world.settle()
    assert {world.jobs.objects[job.key]["status"]["phase"] for job in created[1:]} == {"Queued"}
    assert created[0].key not in world.jobs.objects


@pytest.mark.parametrize("limit", [1, 2])
async def test_many_mljobs_end_while_each_write_has_to_wait(
    world: World, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WritePace, "limit", limit)
    write = world.jobs.write_status

    async def write_slowly(job: Job, patch: Mapping[str, Any]) -> Job:
        await rounds()
        return await write(job, patch)

    monkeypatch.setattr(world.jobs, "write_status", write_slowly)
    keys = [("team-a", f"job-{number}") for number in range(12)]
    for _, name in keys:
        world.jobs.create(name, {"dagId": "train"}, at=world.clock().isoformat())
    await world.see_all()
    world.clock.tick(1)
    await world.look()
    runs = list(world.airflow.runs.values())
    assert len(runs) == len(keys)
    for task_id in ("extract", "fit"):
        for state in (TaskState.RUNNING, TaskState.SUCCESS):
            for key, run in zip(keys, runs, strict=True):
                world.airflow.set_task(run, task_id, state)
                say(world, key, progress(0.5), event(task_id, state))
                await asyncio.sleep(0)
    for key, run in zip(keys, runs, strict=True):
        world.airflow.end(run, RunState.SUCCESS)
        say(world, key, RunFact(RunState.SUCCESS, StatusSource.KAFKA, world.clock(), world.clock()))
        await rounds()
    await asyncio.wait_for(world.settle(), 180)
    assert {world.jobs.objects[key]["status"]["phase"] for key in keys} == {"Succeeded"}
    assert len(world.done) == 9 * len(keys), "each message is done with"
    assert not world.job_controller.workers.tracked


@pytest.mark.parametrize("answered", [True, False])
async def test_abandoned_deletion_does_not_wait_for_the_events_of_its_namespace(
    world: World, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    await world.apply(cancellation={"timeoutSeconds": 60})
    world.airflow.down = True
    await world.delete()
    writer, job = world.job_controller._writer, await anext(aiter(world.jobs.list()))
    record, asked, answers, last_trace = world.jobs.record, list[str](), asyncio.Semaphore(0), asyncio.Event()

    async def record_slowly(job: Job, event: KubeEvent) -> None:
        asked.append(event.reason)
        await (last_trace.wait() if event.reason == "CancellationAbandoned" else answers.acquire())
        await record(job, event)

    monkeypatch.setattr(world.jobs, "record", record_slowly)
    if answered:
        last_trace.set()
    else:
        monkeypatch.setattr(status_writer, "ABANDONMENT_WAITS", 0.001)
    for _ in range(1000):
        writer._record(job, KubeEvent(WARNING, "Failed", "Waits"))
    world.clock.tick(100)
    world.job_controller.workers.wake(KEY)
    while world.exists and asked.count("Failed") < 1000:
        answers.release()
        await asyncio.sleep(0.001)
    assert asked.count("Failed") < 1000
    assert ("CancellationAbandoned" in world.event_reasons) is answered
    last_trace.set()
    for _ in range(1000):
        answers.release()
    await world.settle()
    assert "CancellationAbandoned" in world.event_reasons


async def test_end_of_the_process_drops_the_events_that_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(status_writer, "LAST_EVENTS", 0.01)
    never, asked = asyncio.Event(), asyncio.Event()

    async def record(*_: Any) -> None:
        asked.set()
        await never.wait()

    monkeypatch.setattr(world.jobs, "record", record)
    world.jobs.create(KEY[1], {"dagId": "train"}, at=world.clock().isoformat())
    async for job in world.jobs.list():
        world.job_controller.observe(job)
    async with asyncio.timeout(180):
        await asked.wait()
    await world.job_controller.close()
    assert not world.job_controller.tasks
    assert "1 Kubernetes Events were not recorded before the operator ended" in caplog.text
