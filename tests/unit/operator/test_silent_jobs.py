"""MLJobs that don't change cause neither work nor requests."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers import long_loops
from mljob_operator.controllers.mljob import controller, reconciler, workers
from mljob_operator.controllers.mljob.classifier import Classifier
from mljob_operator.controllers.mljob.lister import MLJobLister
from mljob_operator.controllers.mljob.steps import Steps
from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.core.mljob.actions import LookUpRun
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.status.significance import REFINEMENT_WAITS
from mljob_operator.sources.change_feed import HALT_CHECK_INTERVAL, RELIST_INTERVAL
from mljob_operator.sources.feed_windows import LONGEST_OVERLAP
from tests.live.eventually import until
from tests.strategies import event

from .conftest import KEY, World
from .runs import begin, finish, newest


class CallCounter:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls = 0
        real = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


async def with_live_jobs(world: World, number: int) -> None:
    for index in range(number):
        world.jobs.create(f"job-{index:03}", {"dagId": "train"}, at=world.clock().isoformat())
    await world.see_all()
    world.clock.tick(1)
    await world.look()
    assert world.job_controller.lister.count() == number


@pytest.mark.parametrize("number", [1, 40])
@pytest.mark.parametrize("after", [LONGEST_OVERLAP, HALT_CHECK_INTERVAL, RELIST_INTERVAL])
async def test_pass_looks_at_no_silent_mljob(
    world: World, number: int, after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_live_jobs(world, number)
    world.clock.tick(2 * LONGEST_OVERLAP.total_seconds())
    await world.look()
    world.clock.tick(after.total_seconds())
    looks, steps = CallCounter(monkeypatch, WorkerState, "last_state"), CallCounter(monkeypatch, Steps, "take")
    asked = len(world.airflow.calls)
    assert await world.resync.guarded_pass() == (5, False)
    await world.settle()
    assert (looks.calls, steps.calls) == (0, 0)
    assert len(world.airflow.calls) > asked


@pytest.mark.parametrize("source", ["REST", "Kafka"])
async def test_restart_writes_no_status_in_which_nothing_has_changed(world: World, source: str) -> None:
    await with_live_jobs(world, 3)
    if source == "Kafka":
        world.jobs.objects[KEY[0], "job-001"]["status"]["statusSource"] = source
    before = {key: deepcopy(job["status"]) for key, job in world.jobs.objects.items()}
    world.clock.tick(60)
    await world.restart()
    await world.look()
    await world.later(REFINEMENT_WAITS.total_seconds())
    assert {key: job["status"] for key, job in world.jobs.objects.items()} == before
    assert not [worker for worker in world.job_controller.workers.tracked.values() if worker.timer is not None]


async def test_run_that_the_first_pass_shows_is_not_asked_for_by_itself(world: World) -> None:
    await with_live_jobs(world, 3)
    world.clock.tick(60)
    await world.restart()
    asked = len(world.airflow.calls)
    await world.look()
    assert set(world.airflow.calls[asked:]) == {"changed_runs", "changed_tasks", "active_runs"}


async def test_change_that_the_feed_repeats_takes_one_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply()
    await begin(world)
    steps = CallCounter(monkeypatch, Steps, "take")
    await world.look()
    world.clock.tick(1)
    await world.look()
    assert steps.calls == 0
    world.airflow.set_task(newest(world), "extract", TaskState.SUCCESS)
    await world.look()
    await world.look()
    assert (steps.calls, world.status.progress) == (1, "1/2")


async def test_repeated_change_is_newer_than_an_answer_on_its_way(world: World) -> None:
    await world.apply()
    await begin(world)
    world.clock.tick(5)
    await world.look()
    worker = world.job_controller.workers.get(KEY)
    assert worker is not None
    assert worker.tracked is not None
    fact = worker.tracked.observed_run.tasks["extract", -1]
    # A late answer to an earlier request must not replace the repeated report.
    assert fact.observed_at == world.clock()


async def test_end_that_the_feed_repeats_reads_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply()
    await finish(world)
    assert world.status.phase is Phase.SUCCEEDED
    reads = CallCounter(monkeypatch, type(world.jobs), "get")
    await world.look()
    await world.look()
    assert (reads.calls, world.job_controller.workers.get(KEY)) == (0, None)


async def test_version_from_before_the_end_adds_no_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply()
    early = await world.jobs.get(KEY)
    assert early is not None
    await finish(world)
    steps = CallCounter(monkeypatch, Steps, "take")
    world.job_controller.observe(early)
    await world.settle()
    assert (steps.calls, world.job_controller.workers.get(KEY)) == (0, None)


async def test_mljob_of_a_finished_ones_name_is_followed(world: World) -> None:
    await world.apply()
    await finish(world)
    del world.jobs.objects[KEY]
    await world.apply()
    assert world.status.phase is Phase.QUEUED


async def test_mljobs_at_rest_go_on_where_they_were(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MAX_AWAKE", 1)
    await world.apply()
    await world.tell(event("extract", TaskState.RUNNING))
    await world.look()
    await with_others(world)
    worker = world.job_controller.workers.get(KEY)
    assert worker is not None
    assert worker.state is None, "the MLJob is at rest"
    before = dict(world.jobs.objects[KEY]["status"])
    world.job_controller.workers.wake(KEY)
    await world.settle()
    assert world.jobs.objects[KEY]["status"] == before, "nothing has changed"
    await with_others(world)
    world.airflow.set_task(newest(world), "extract", TaskState.SUCCESS)
    world.airflow.set_task(newest(world), "fit", TaskState.SUCCESS)
    world.airflow.end(newest(world), RunState.SUCCESS)
    world.clock.tick(20)
    await world.look()
    await world.later(5)
    assert (world.status.phase, world.status.progress) == (Phase.SUCCEEDED, "2/2")


async def with_others(world: World) -> None:
    for name in ("other", "another"):
        key = (KEY[0], name)
        if key not in world.jobs.objects:
            world.jobs.create(name, {"dagId": "train", "suspend": True}, at=world.clock().isoformat())
    await world.see_all()
    for name in ("other", "another"):
        world.job_controller.workers.wake((KEY[0], name))
    await world.settle()


async def test_only_so_many_mljobs_are_awake(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MAX_AWAKE", 3)
    await with_live_jobs(world, 12)
    awake = [worker for worker in world.job_controller.workers.tracked.values() if worker.state is not None]
    assert len(awake) <= 3
    assert len(list(world.job_controller.lister.unfinished(SETTINGS_AIRFLOW))) == 12
    awake = [worker for worker in world.job_controller.workers.tracked.values() if worker.state is not None]
    assert len(awake) <= 3, "a look at all MLJobs leaves them at rest"


async def test_start_with_many_mljobs_leaves_the_event_loop_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_live_jobs(world, 30)
    monkeypatch.setattr(workers, "MAX_STARTS", 7)
    steps = CallCounter(monkeypatch, Steps, "take")
    most, others = 0, 0
    world.wake_all()
    while steps.calls < 30:
        before = steps.calls
        await asyncio.sleep(0)
        most, others = max(most, steps.calls - before), others + 1
    assert (most, others >= 30 // 7) == (7, True)
    await world.settle()
    assert steps.calls == 30


async def test_first_pass_over_many_mljobs_leaves_the_event_loop_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_live_jobs(world, 30)
    await world.restart()
    monkeypatch.setattr(long_loops, "AT_ONCE", 5)
    looks, most = CallCounter(monkeypatch, MLJobLister, "state"), 0
    reading = asyncio.create_task(world.resync.pass_once())
    while not reading.done():
        before = looks.calls
        await asyncio.sleep(0)
        most = max(most, looks.calls - before)
    assert (looks.calls, most <= 10) == (60, True), "each MLJob is looked at for the first time, and for its changes"


async def test_change_that_concerns_many_mljobs_leaves_the_event_loop_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_live_jobs(world, 30)
    monkeypatch.setattr(long_loops, "AT_ONCE", 5)
    looks, steps = CallCounter(monkeypatch, Classifier, "reserve"), CallCounter(monkeypatch, Steps, "take")
    world.job_controller.wake_waiting()
    world.wake_all()
    most = 0
    while looks.calls < 30:
        before = looks.calls
        await asyncio.sleep(0)
        most = max(most, looks.calls - before)
        # The MLJob that is checked last may be the first in the queue.
        assert not steps.calls
    assert most == 5
    await world.settle()
    assert (looks.calls, steps.calls) == (30, 30)


async def test_change_wakes_the_mljobs_of_its_namespace_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await with_live_jobs(world, 3)
    looks = CallCounter(monkeypatch, Classifier, "reserve")
    world.job_controller.wake_waiting(namespace="another")
    await world.settle()
    assert looks.calls == 0
    world.job_controller.wake_waiting(namespace=KEY[0])
    world.job_controller.wake_waiting(namespace=KEY[0])
    await world.settle()
    assert looks.calls == 3, "one look serves both changes"


@pytest.mark.parametrize("spec", [{}, {"activeDeadlineSeconds": 3600}], ids=["no timer", "a later timer"])
async def test_wrong_status_of_another_process_is_corrected_after_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any]
) -> None:
    monkeypatch.setattr(controller, "CHECK_FOREIGN_STATUS", 0.05)
    await world.apply(**spec)
    await world.settle()
    assert world.status.phase is Phase.QUEUED
    known = await world.jobs.get(KEY)
    assert known is not None
    written = await world.jobs.write_status(known, {"phase": "Running", "reason": "Running"})
    world.job_controller.observe(written)
    assert written.status.phase is Phase.RUNNING
    await until(lambda: world.status.phase is Phase.QUEUED, "the status is corrected")


async def test_event_of_an_unknown_mljob_waits_while_steps_are_held(world: World) -> None:
    await world.apply()
    await world.settle()
    run = RunKey(SETTINGS_AIRFLOW, "train", world.airflow.only_run().run_id)
    world.job_controller.workers.remove(KEY)
    world.job_controller.observe_event(KEY, {run}, event("extract", TaskState.RUNNING), lambda: None)
    with world.job_controller.workers.hold_steps():
        await world.settle()
        assert world.status.current_task is None
    await world.settle()
    assert world.status.current_task == "extract"


@pytest.fixture
async def pausing(world: World, monkeypatch: pytest.MonkeyPatch) -> CallCounter:
    """A counter of the calls of ``Steps.take``, which reconciles an MLJob. The MLJob's worker has
    received a Kafka event, and does not call ``Steps.take`` for this event before
    ``status_interval`` has passed.
    """
    await world.job_controller.close()
    world.status_interval = 0.2
    world.start()
    await world.apply()
    await world.settle()
    steps = CallCounter(monkeypatch, Steps, "take")
    run = RunKey(SETTINGS_AIRFLOW, "train", world.airflow.only_run().run_id)
    world.job_controller.observe_event(KEY, {run}, event("extract", TaskState.RUNNING), lambda: None)
    await asyncio.sleep(0)
    assert world.job_controller.workers.tasks
    return steps


async def test_worker_that_pauses_starts_no_step_while_steps_are_held(world: World, pausing: CallCounter) -> None:
    with world.job_controller.workers.hold_steps():
        await asyncio.gather(*world.job_controller.workers.tasks)
        assert pausing.calls == 0
    await world.settle()
    assert world.status.current_task == "extract"


async def test_worker_that_pauses_starts_no_step_after_the_stop(world: World, pausing: CallCounter) -> None:
    await world.job_controller.close()
    assert pausing.calls == 0


async def test_mljobs_that_are_deleted_before_their_step_hold_up_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_live_jobs(world, 12)
    monkeypatch.setattr(workers, "MAX_STARTS", 2)
    steps = CallCounter(monkeypatch, Steps, "take")
    world.wake_all()
    for index in range(2, 11):
        key = (KEY[0], f"job-{index:03}")
        uid = world.jobs.objects.pop(key)["metadata"]["uid"]
        world.observe_deletion(key, uid)
    await world.settle()
    assert steps.calls == 3


async def test_action_without_effect_is_not_repeated_without_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await world.apply()
    await world.settle()
    asked = len(world.airflow.calls)
    monkeypatch.setattr(reconciler, "decide", lambda _: LookUpRun())
    world.wake_all()
    await until(lambda: "LookUpRun() has no effect" in caplog.text, "the defect is logged")
    assert len(world.airflow.calls) - asked <= reconciler.MAX_REPETITIONS
    monkeypatch.undo()
