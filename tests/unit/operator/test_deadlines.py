from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState

from .conftest import World
from .runs import begin, end, newest, runs
from .simulated import KEY, apply, simulation


class TestDeadlines:
    async def test_mljob_that_is_active_for_too_long_is_cancelled_and_fails(self, world: World) -> None:
        await world.apply(activeDeadlineSeconds=100, backoffLimit=5, cancellation={"strategy": "Api"})
        await begin(world)
        await world.later(90)
        assert world.status.phase is Phase.RUNNING
        await world.later(10)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert newest(world).state is RunState.FAILED
        assert "DeadlineExceeded" in world.event_reasons
        await world.later(3600)
        assert len(runs(world)) == 1

    async def test_active_deadline_spans_attempts_and_restarts(self, world: World) -> None:
        await world.apply(activeDeadlineSeconds=100, backoffLimit=5, cancellation={"strategy": "Api"})
        await begin(world)
        await end(world, RunState.FAILED)
        await world.later(60)
        assert world.status.attempts == 2
        await world.restart()
        await world.later(30)
        assert world.status.phase is not Phase.FAILED
        await world.later(10)
        assert world.status.reason == "DeadlineExceeded"

    async def test_active_deadline_runs_while_no_run_can_be_submitted(self, world: World) -> None:
        world.airflow.down = True
        await world.apply(activeDeadlineSeconds=100)
        await world.later(50)
        await world.later(51)
        # Without Airflow, the operator can't know whether a run was started, so the MLJob keeps its
        # finalizer.
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLING, "DeadlineExceeded")
        world.airflow.down = False
        await world.later(60)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert not world.has_finalizer

    async def test_run_whose_first_task_does_not_start_in_time_is_cancelled(self, world: World) -> None:
        world.airflow.paused.add("train")
        await world.apply(preRunningDeadlineSeconds=30, cancellation={"strategy": "Api"})
        await world.look()
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")
        assert "paused" in world.message

    async def test_first_started_task_meets_the_pre_running_deadline(self, world: World) -> None:
        await world.apply(preRunningDeadlineSeconds=30)
        await begin(world)
        await world.later(300)
        assert world.status.phase is Phase.RUNNING

    async def test_backoff_does_not_count_towards_the_pre_running_deadline(self, world: World) -> None:
        await world.apply(preRunningDeadlineSeconds=15, backoffLimit=3, retryStrategy="NewRun")
        for delay in (10, 20):
            await begin(world)
            await end(world, RunState.FAILED)
            await world.later(delay)
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 3)
        await world.later(12)
        assert world.status.phase is Phase.QUEUED
        await world.later(4)
        assert world.status.reason == "PreRunningDeadlineExceeded"

    async def test_mljob_whose_dag_never_appears_fails(self, world: World) -> None:
        await world.apply(dagId="never", preRunningDeadlineSeconds=30)
        await world.later(31)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "PreRunningDeadlineExceeded")
        assert "never" in world.message, "it says what it waited for"


def test_deadline_of_the_first_status_expires_without_further_events() -> None:
    with simulation() as simulated:
        apply(simulated, airflowRef={"name": "nobody-made-it"}, activeDeadlineSeconds=20)
        simulated.run(30)
        assert simulated.status(KEY).reason == "DeadlineExceeded"
