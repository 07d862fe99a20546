"""Somebody clears or deletes a run in Airflow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState, TaskState

from .conftest import KEY, World
from .runs import begin, edit, end, newest, runs


class TestClearedInAirflow:
    async def test_cleared_failed_run_is_followed(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.FAILED)
        assert (world.status.phase, world.status.attempts) == (Phase.FAILED, 1)
        assert not world.job_controller.workers.tracked
        world.clock.tick(60)
        world.airflow.clear(newest(world), ("fit", -1))
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.has_finalizer
        assert "ClearedInAirflow" in world.event_reasons
        assert [entry.phase for entry in world.status.history or []] == [Phase.FAILED]
        await begin(world)
        assert (world.status.phase, world.condition("Failed")) == (Phase.RUNNING, None)
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED
        assert not world.has_finalizer

    async def test_run_cleared_while_no_operator_runs_is_followed(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.FAILED)
        world.clock.tick(60)
        world.airflow.clear(newest(world), ("fit", -1))
        world.clock.tick(60)
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_run_cleared_before_its_end_was_observed_is_followed(self, world: World) -> None:
        await world.apply()
        await begin(world)
        assert world.status.phase is Phase.RUNNING
        run = newest(world)
        world.clock.tick(1)
        world.airflow.end(run, RunState.FAILED)
        world.clock.tick(1)
        world.airflow.clear(run, ("fit", -1))
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 1)

    async def test_run_that_was_cleared_and_ended_again_between_two_reads_is_counted(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.FAILED)
        await world.look()
        world.clock.tick(60)
        world.airflow.clear(newest(world), ("fit", -1))
        world.clock.tick(1)
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 2)

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_run_cleared_within_the_second_of_its_end_is_followed(self, world: World, *, restarted: bool) -> None:
        await world.apply(backoffLimit=1)
        await world.look()
        run = newest(world)
        world.clock.tick(0.2)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        world.airflow.end(run, RunState.SUCCESS)
        first_end = world.clock()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)
        world.clock.tick(0.2)
        world.airflow.clear(run, ("fit", -1))
        await world.look()
        assert world.status.submit_time == world.clock()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        if restarted:
            await world.restart()
        await world.tell(
            RunFact(RunState.SUCCESS, StatusSource.KAFKA, first_end, world.clock(), end=first_end), run_id=run.run_id
        )
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        world.clock.tick(0.2)
        await begin(world)
        assert world.status.phase is Phase.RUNNING
        await end(world, RunState.SUCCESS)
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 2)

    @pytest.mark.parametrize("by", ["an event", "Airflow"])
    async def test_clearing_a_task_of_an_active_run_is_not_a_new_attempt(self, world: World, *, by: str) -> None:
        await world.apply(backoffLimit=1)
        await begin(world)
        run = newest(world)
        # Airflow sets the run's queued_at to the current time.
        world.airflow.clear(run, ("extract", -1))
        world.clock.tick(1.5)
        world.airflow.set_task(run, "extract", TaskState.SUCCESS, try_number=2)
        if by == "an event":
            now = world.clock()
            await world.tell(RunFact(RunState.SUCCESS, StatusSource.KAFKA, now, now, end=now))
            await world.look()
            assert world.status.dag_run_state == "running", "an event ends no run"
        await end(world, RunState.SUCCESS)
        await world.look()
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)

    async def test_finished_mljob_is_read_once_and_not_written(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.SUCCESS)
        before = world.jobs.objects[KEY]["metadata"]["resourceVersion"]
        for _ in range(3):
            await world.look()
        assert world.jobs.objects[KEY]["metadata"]["resourceVersion"] == before
        assert world.jobs.reads <= 1

    async def test_run_that_seems_to_end_before_it_was_queued_was_not_cleared(self, world: World) -> None:
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await begin(world)
        run = newest(world)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS)
        world.airflow.end(run, RunState.SUCCESS)
        # The clocks of Airflow's hosts differ.
        run.end = run.queued_at - timedelta(seconds=2)
        await world.look()
        await world.restart()
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 1)

    async def test_cleared_run_that_seems_to_end_before_it_was_cleared_has_ended(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await end(world, RunState.FAILED)
        await world.later(10)
        run = newest(world)
        world.airflow.set_task(run, "fit", TaskState.SUCCESS, try_number=2)
        world.airflow.end(run, RunState.SUCCESS)
        run.end = run.queued_at - timedelta(seconds=2)
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.SUCCEEDED, 2)

    async def test_cancelled_mljob_stays_cancelled_when_its_run_is_cleared(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await begin(world)
        await edit(world, cancel=True)
        world.clock.tick(60)
        world.airflow.clear(newest(world))
        await world.look()
        assert world.status.phase is Phase.CANCELLED

    async def test_run_cleared_during_the_retry_backoff_counts_as_the_retry(self, world: World) -> None:
        await world.apply(backoffLimit=3)
        await begin(world)
        await end(world, RunState.FAILED)
        world.clock.tick(3)
        world.airflow.clear(newest(world), ("fit", -1))
        await world.look()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        await world.later(30)
        assert (world.status.attempts, len(runs(world))) == (2, 1)


class TestDeletedInAirflow:
    async def test_deleted_run_fails_the_mljob(self, world: World) -> None:
        await world.apply()
        await world.look()
        world.airflow.runs.clear()
        world.clock.tick(61)
        await world.look()
        await world.later(3)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DagRunDeleted")
