"""MLJobs that have the finalizer from their creation, because the API server has the chart's
MutatingAdmissionPolicy.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.mljob import steps
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.states import RunState
from mljob_operator.errors import OperatorError
from tests.fakes.jobs import FakeJobs

from .backfill import backfills
from .conftest import KEY, World
from .runs import finish, runs
from .test_restored_mljobs import finished, restore


@pytest.fixture(autouse=True)
def _policy(world: World) -> None:
    world.jobs.admission_policy = True


@pytest.fixture
def finalizer_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request of the operator to add or remove the finalizer, whether to add it."""
    writes: list[bool] = []
    write = FakeJobs.set_finalizer

    async def recorded(jobs: FakeJobs, job: Any, *, present: bool, **options: Any) -> Any:
        writes.append(present)
        return await write(jobs, job, present=present, **options)

    monkeypatch.setattr(FakeJobs, "set_finalizer", recorded)
    return writes


async def test_operator_only_removes_the_finalizer(world: World, finalizer_writes: list[bool]) -> None:
    await world.apply()
    assert (len(runs(world)), finalizer_writes) == (1, [])
    await finish(world)
    assert (world.status.phase, finalizer_writes, world.has_finalizer) == (Phase.SUCCEEDED, [False], False)


async def test_next_run_gets_the_finalizer_from_the_operator(world: World, finalizer_writes: list[bool]) -> None:
    await world.apply(runPolicy="OnChange")
    await finish(world)
    await world.edit(conf={"epochs": 9})
    assert (len(runs(world)), finalizer_writes) == (2, [False, True])


async def test_mljob_that_can_not_start_can_be_deleted_without_an_operator(
    world: World, finalizer_writes: list[bool]
) -> None:
    await world.apply(airflowRef={"name": "prod"})
    assert (world.status.reason, world.has_finalizer) == ("AirflowInstanceNotFound", False)
    await world.add_instance("prod")
    await world.later(5)
    assert (world.status.phase, world.has_finalizer) == (Phase.QUEUED, True)
    assert finalizer_writes == [False, True]


async def test_mljob_keeps_the_finalizer_while_its_airflow_is_not_ready(
    world: World, finalizer_writes: list[bool]
) -> None:
    airflow = await world.add_instance("prod")
    airflow.down = True
    await world.look_after("prod")
    await world.apply(airflowRef={"name": "prod"})
    assert (world.status.reason, world.has_finalizer) == ("AirflowInstanceNotReady", True)
    await world.restart()
    airflow.down = False
    await world.look_after("prod")
    assert (world.status.phase, finalizer_writes) == (Phase.QUEUED, [])


@pytest.fixture
def pauses(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The type of the error before each pause between two steps, and the number of failures so far.
    During the pause, the watch shows the MLJob.
    """
    pauses: list[tuple[str, int]] = []

    def backoff(error: OperatorError, failures: int) -> float:
        pauses.append((type(error).__name__, failures))
        world.job_controller.observe(Job.from_object(world.jobs.body(KEY)))
        return 0.0

    monkeypatch.setattr(steps, "backoff", backoff)
    return pauses


async def test_removals_of_a_finalizer_that_a_webhook_adds_again_are_further_and_further_apart(
    world: World, finalizer_writes: list[bool], pauses: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    await world.apply()
    world.jobs.override_finalizer = 3
    await finish(world)
    assert (world.status.phase, finalizer_writes, world.has_finalizer) == (Phase.SUCCEEDED, [False] * 4, False)
    assert pauses == [("FinalizerOverridden", failures) for failures in (1, 2, 3)]
    assert "metadata.finalizers" in caplog.text
    assert "something adds the finalizer" in caplog.text


async def test_additions_of_a_finalizer_that_a_webhook_removes_are_further_and_further_apart(
    world: World, finalizer_writes: list[bool], pauses: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    await world.apply(suspend=True)
    world.jobs.override_finalizer = 3
    await world.edit(suspend=False)
    assert (world.status.phase, finalizer_writes, len(runs(world))) == (Phase.QUEUED, [True] * 4, 1)
    assert pauses == [("FinalizerOverridden", failures) for failures in (1, 2, 3)]
    assert "something removes the finalizer" in caplog.text


async def test_mljob_that_can_not_start_fails_at_its_deadline(world: World) -> None:
    await world.apply(airflowRef={"name": "prod"}, preRunningDeadlineSeconds=20)
    assert (world.status.phase, world.has_finalizer) == (Phase.PENDING, False)
    timer = world.job_controller.workers.tracked[KEY].timer
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() == pytest.approx(20, abs=1)


async def test_deletion_before_the_first_step_starts_no_run(world: World) -> None:
    world.jobs.create(KEY[1], {"dagId": "train"}, at=world.clock().isoformat())
    world.jobs.user_deletes(KEY, world.clock())
    assert world.exists
    await world.see_all()
    assert (world.exists, runs(world)) == (False, [])


async def test_restart_before_the_first_step_starts_one_run(world: World) -> None:
    world.jobs.create(KEY[1], {"dagId": "train"}, at=world.clock().isoformat())
    await world.restart()
    await world.restart()
    await world.later(60)
    assert (len(runs(world)), world.status.attempts) == (1, 1)


async def test_mljob_created_suspended_is_resumed(world: World, finalizer_writes: list[bool]) -> None:
    await world.apply(suspend=True)
    assert (world.status.phase, finalizer_writes) == (Phase.SUSPENDED, [])
    await world.edit(suspend=False)
    assert (world.status.phase, finalizer_writes) == (Phase.QUEUED, [True])


async def test_mljob_cancelled_before_the_first_step_gives_up_the_finalizer(world: World) -> None:
    world.jobs.create(KEY[1], {"dagId": "train"}, at=world.clock().isoformat())
    await world.edit(cancel=True)
    assert (world.status.phase, world.has_finalizer, runs(world)) == (Phase.CANCELLED, False, [])


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
async def test_restored_mljob_does_not_run_again(world: World, state: RunState) -> None:
    manifest = await finished(world, state)
    before, ran = world.status, runs(world)
    await restore(world, manifest)
    await world.later(60)
    assert (runs(world), world.has_finalizer) == (ran, False)
    assert (world.status.phase, world.status.outputs) == (before.phase, before.outputs)


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILED])
async def test_restored_backfill_does_not_run_again(world: World, state: RunState) -> None:
    await backfills.apply(world)
    await backfills.end(world, state, *backfills.runs(world))
    manifest, before = world.jobs.body(KEY), world.status
    assert before.phase in (Phase.SUCCEEDED, Phase.FAILED)
    await restore(world, manifest)
    for _ in range(10):
        await world.later(60)
    assert (world.status.phase, world.status.reason, world.has_finalizer) == (before.phase, before.reason, False)
    assert backfills.made(world) == 1
