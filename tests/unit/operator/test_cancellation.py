from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import StoreUnavailable
from tests.fakes.airflow import CANCEL_DAG
from tests.live.eventually import until

from .conftest import KEY, World
from .runs import begin, edit, end, finish, newest, runs, seconds


class TestCancelling:
    async def test_run_is_cancelled_and_the_mljob_remains(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"}, backoffLimit=3)
        await begin(world)
        await edit(world, cancel=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLED, "CancelRequested")
        assert (world.condition("Failed"), world.condition("Stalled")) == ("True", "True")
        assert newest(world).state is RunState.FAILED
        assert not world.has_finalizer
        await world.later(3600)
        assert len(runs(world)) == 1

    async def test_mljob_created_cancelled_submits_no_run(self, world: World) -> None:
        await world.apply(cancel=True)
        assert world.status.phase is Phase.CANCELLED
        assert not world.airflow.runs

    async def test_waiting_mljob_is_cancelled_at_once(self, world: World) -> None:
        await world.apply(dagId="unknown")
        await edit(world, cancel=True)
        assert world.status.phase is Phase.CANCELLED
        assert not world.has_finalizer

    async def test_run_whose_submission_was_not_answered_is_found_and_cancelled(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply(cancellation={"strategy": "Api"})
        await edit(world, cancel=True)
        assert newest(world).state is RunState.FAILED
        assert world.status.phase is Phase.CANCELLED


class TestDeletion:
    async def test_deletion_triggers_the_cancellation_dag_and_waits_for_it(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.delete()
        assert world.status.phase is Phase.CANCELLING
        assert world.airflow.only_run(CANCEL_DAG).conf["dag_run_id"] == world.airflow.only_run().run_id
        await finish(world, RunState.FAILED)
        assert not world.exists
        assert world.event_reasons[-2:] == ["Cancelling", "Cancelled"]

    async def test_deletion_waits_until_airflow_confirms_the_end_reported_by_an_event(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.delete()
        # Airflow publishes the end of a run before Airflow stores the end.
        await world.tell(RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()))
        assert world.exists
        world.airflow.end(world.airflow.only_run(), RunState.FAILED)
        await world.later(1)
        assert not world.exists

    async def test_run_is_cancelled_by_rest_if_the_cancellation_dag_is_paused(self, world: World) -> None:
        world.airflow.paused.add(CANCEL_DAG)
        await world.apply()
        await world.delete()
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_run_is_cancelled_by_rest_if_the_cancellation_dag_takes_too_long(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await world.later(19)
        assert "cancel" not in world.airflow.calls
        await world.later(2)
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_running_cancellation_dag_is_given_time(self, world: World) -> None:
        await world.apply()
        await world.delete()
        world.airflow.set_task(world.airflow.only_run(CANCEL_DAG), "cancel", TaskState.RUNNING)
        await world.later(25)
        await world.later(55)
        assert "cancel" not in world.airflow.calls
        await world.later(10)
        assert not world.exists

    async def test_cancellation_dag_without_a_pool_slot_is_not_waited_for(self, world: World) -> None:
        await world.apply()
        await world.delete()
        # The run of the DAG is running, although its task waits for a pool slot.
        world.airflow.begin(world.airflow.only_run(CANCEL_DAG))
        await world.later(21)
        assert not world.exists

    async def test_deletion_proceeds_in_a_namespace_that_refuses_events(self, world: World) -> None:
        await world.apply(cancellation={"timeoutSeconds": 10})
        world.airflow.down = True
        world.jobs.refuse_events = True
        await world.delete()
        await world.later(11)
        assert not world.exists

    async def test_strategy_api_does_not_trigger_the_cancellation_dag(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await world.delete()
        assert not world.exists
        assert len(world.airflow.runs) == 1

    async def test_retain_keeps_the_run(self, world: World) -> None:
        await world.apply(deletionPolicy="Retain")
        await world.delete()
        assert not world.exists
        assert world.airflow.only_run().state is RunState.QUEUED

    async def test_mljob_without_a_run_is_deleted_at_once(self, world: World) -> None:
        await world.apply(dagId="unknown")
        await world.delete()
        assert not world.exists

    async def test_deletion_cancels_a_run_whose_submission_was_not_answered(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        await world.delete()
        await finish(world, RunState.FAILED)
        await world.later(60)
        assert not world.exists
        assert world.airflow.only_run().state is RunState.FAILED

    async def test_deletion_waits_for_a_submission_that_may_still_arrive(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        (late,) = world.airflow.runs.items()
        world.airflow.runs.clear()  # the submission is still in flight
        await world.delete()
        assert world.exists
        world.airflow.runs.update([late])
        await world.later(31)
        await world.later(21)
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_unreachable_airflow_delays_a_deletion_only_until_the_timeout(self, world: World) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        await world.delete()
        for _ in range(5):
            await world.later(10)
            assert world.exists
        await world.later(15)
        assert not world.exists
        assert "CancellationAbandoned" in world.event_reasons

    async def test_abandoned_cancellation_is_reported_once_if_the_finalizer_can_not_be_removed(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusals = 3
        set_finalizer = world.jobs.set_finalizer

        async def refuse(job: Job, **change: Any) -> Job | None:
            nonlocal refusals
            refusals -= 1
            if refusals >= 0:
                raise StoreUnavailable("busy")
            found: Job | None = await set_finalizer(job, **change)
            return found

        monkeypatch.setattr("mljob_operator.controllers.mljob.steps.backoff", lambda *_: 0.001)
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        monkeypatch.setattr(world.jobs, "set_finalizer", refuse)
        await world.delete()
        await world.later(65)
        await until(lambda: not world.exists)
        assert refusals < 0
        assert world.event_reasons.count("CancellationAbandoned") == 1

    @pytest.mark.parametrize("strategy", ["Dag", "Api"])
    async def test_overdue_deletion_still_ends_the_run_when_an_operator_starts(
        self, world: World, strategy: str
    ) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60, "strategy": strategy})
        world.jobs.user_deletes(KEY, world.clock())
        world.clock.tick(100)
        await world.restart()
        assert not world.exists
        assert [run.state for run in world.airflow.runs.values()] == [RunState.FAILED]
        assert "CancellationAbandoned" not in world.event_reasons

    async def test_overdue_deletion_proceeds_if_airflow_is_unreachable_when_an_operator_starts(
        self, world: World
    ) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        world.jobs.user_deletes(KEY, world.clock())
        world.clock.tick(100)
        await world.restart()
        assert not world.exists
        assert "CancellationAbandoned" in world.event_reasons

    async def test_restarted_operator_continues_the_cancellation(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await world.restart()
        assert len([run for run in world.airflow.runs.values() if run.dag_id == CANCEL_DAG]) == 1
        world.clock.tick(1)
        await finish(world, RunState.FAILED)
        assert not world.exists

    async def test_deletion_proceeds_when_the_run_succeeds_during_cancellation(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await finish(world)
        assert not world.exists


async def test_requests_of_a_cancellation_do_not_queue_behind_submissions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    dag_runs = world.registry.dag_runs

    def spy(name: str, user: Any = None, *, cancelling: bool = False) -> Any:
        asked.append(cancelling)
        return dag_runs(name, user, cancelling=cancelling)

    await world.apply()
    monkeypatch.setattr(world.registry, "dag_runs", spy)
    await world.delete()
    await world.later(6)
    assert asked
    assert all(asked)


async def announce_clearing(world: World) -> None:
    """Let the operator end after it has stored a second attempt, and before it has cleared the
    failed run for this attempt.
    """
    await world.apply(backoffLimit=3, retryStrategy="ClearFailed")
    await begin(world)
    await end(world, RunState.FAILED)

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    real, world.airflow.clear_failed = world.airflow.clear_failed, hang
    world.clock.tick(60)
    world.wake_all()
    await until(lambda: world.status.attempts == 2, "the second attempt is stored")
    world.airflow.clear_failed = real


@pytest.mark.parametrize("how", ["delete", "cancel", "suspend"])
async def test_attempt_that_has_not_cleared_its_run_is_cancelled(world: World, how: str) -> None:
    await announce_clearing(world)
    if how == "delete":
        world.jobs.user_deletes(KEY, world.clock())
    else:
        world.jobs.edit(KEY, {how: True})
    await world.restart()
    assert world.status.phase is Phase.CANCELLING
    requests = len(world.airflow.calls)
    await world.later(1)
    assert len(world.airflow.calls) <= requests + 1, "the operator does not ask in a loop"
    await seconds(world, 40)
    if how == "delete":
        assert not world.exists
    else:
        assert world.status.phase is {"cancel": Phase.CANCELLED, "suspend": Phase.SUSPENDED}[how]
        assert world.status.attempts == 2
    assert newest(world).state is RunState.FAILED


async def test_run_that_a_late_request_clears_is_cancelled(world: World) -> None:
    await announce_clearing(world)
    world.jobs.user_deletes(KEY, world.clock())
    await world.restart()
    await world.later(5)
    run = newest(world)
    world.airflow.clear(run, *(key for key, task in run.tasks.items() if task.state is TaskState.FAILED))
    await seconds(world, 120)
    assert run.state is RunState.FAILED
    assert not world.exists


async def test_run_that_was_cleared_within_a_second_of_its_end_is_cancelled(world: World) -> None:
    await announce_clearing(world)
    run = newest(world)
    queued_at = run.queued_at
    world.airflow.clear(run, *(key for key, task in run.tasks.items() if task.state is TaskState.FAILED))
    run.queued_at = queued_at
    world.jobs.user_deletes(KEY, world.clock())
    await world.restart()
    await seconds(world, 120)
    assert run.state is RunState.FAILED
    assert not world.exists
