from __future__ import annotations

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState, TaskState

from .conftest import World
from .runs import begin, end, newest, runs


class TestRetrying:
    async def test_failed_tasks_of_the_same_run_are_cleared(self, world: World) -> None:
        await world.apply(backoffLimit=2)
        await begin(world)
        await end(world, RunState.FAILED)
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "RetryBackoff")
        assert (world.status.failed_attempts, world.status.attempts) == (1, 1)
        assert world.has_finalizer
        await world.later(8)
        assert newest(world).state is RunState.FAILED
        await world.later(2)
        run = newest(world)
        assert run.state is RunState.QUEUED
        assert run.tasks["extract", -1].state is TaskState.SUCCESS, "what had succeeded isn't run again"
        assert (world.status.phase, world.status.attempts, len(runs(world))) == (Phase.QUEUED, 2, 1)
        await world.look()
        await end(world, RunState.SUCCESS)
        assert world.status.phase is Phase.SUCCEEDED
        assert [entry.phase for entry in world.status.history or []] == [Phase.FAILED]

    async def test_new_run_runs_every_task(self, world: World) -> None:
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        assert len(runs(world)) == 2
        assert (world.status.phase, world.status.dag_run_id) == (Phase.QUEUED, runs(world)[1])
        assert world.status.tasks is None or world.status.progress in (None, "0/2")

    async def test_mljob_fails_when_no_attempt_is_left(self, world: World) -> None:
        await world.apply(backoffLimit=1, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        await end(world, RunState.FAILED)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert world.status.failed_attempts == 2
        assert not world.has_finalizer
        await world.later(3600)
        assert len(runs(world)) == 2

    async def test_backoff_doubles_and_survives_a_restart(self, world: World) -> None:
        await world.apply(backoffLimit=3, retryStrategy="NewRun")
        await end(world, RunState.FAILED)
        await world.later(10)
        await end(world, RunState.FAILED)
        await world.later(10)
        await world.restart()
        assert len(runs(world)) == 2
        await world.later(9)
        assert len(runs(world)) == 3

    async def test_repeated_end_of_the_first_attempt_does_not_end_the_second(self, world: World) -> None:
        await world.apply(backoffLimit=2)
        await begin(world)
        failed = RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock())
        await end(world, RunState.FAILED)
        await world.later(10)
        await world.restart()
        # After a restart, the operator reads uncommitted Kafka events again.
        await world.tell(failed, run_id=runs(world)[0])
        assert world.status.phase in (Phase.QUEUED, Phase.PENDING)
        assert (world.status.attempts, world.status.failed_attempts) == (2, 1)

    async def test_lost_response_to_a_clear_does_not_clear_twice(self, world: World) -> None:
        await world.apply(backoffLimit=2)
        await begin(world)
        await end(world, RunState.FAILED)
        world.airflow.lose_answers = 1
        await world.later(10)
        cleared_at = newest(world).queued_at
        await world.later(60)
        assert newest(world).queued_at == cleared_at
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_tasks_that_succeeded_before_a_retry_stay_in_the_status(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await begin(world)
        await end(world, RunState.FAILED)
        await world.later(30)
        await world.look()
        world.clock.tick(1)
        world.airflow.set_task(newest(world), "fit", TaskState.RUNNING, try_number=2)
        await world.look()
        assert world.status.task_counts is not None
        assert (world.status.task_counts.total, world.status.progress) == (2, "1/2")

    async def test_run_without_a_failed_task_is_retried_by_a_new_run(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await world.look()
        # Airflow does so when a run exceeds dagrun_timeout.
        world.airflow.end(newest(world), RunState.FAILED)
        world.clock.tick(1)
        await world.look()
        for _ in range(3):
            await world.later(10)
        assert len(runs(world)) == 2
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)

    async def test_deleted_run_is_retried_by_a_new_run(self, world: World) -> None:
        await world.apply(backoffLimit=1)
        await world.look()
        world.airflow.runs.clear()
        world.clock.tick(61)
        await world.look()
        await world.later(3)
        await world.later(10)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 2)
        assert world.status.dag_run_id is not None
        assert world.status.dag_run_id.endswith("-2"), "a run id is never used twice"
