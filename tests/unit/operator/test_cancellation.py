"""cancel and deletion end the run in Airflow: by the cancellation DAG, or by REST where it can't."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import CANCEL_DAG

from .conftest import KEY, World
from .runs import begin, edit, finish, newest, runs


class TestCancelling:
    """cancel: true keeps the record."""

    async def test_the_run_is_cancelled_and_the_mljob_stays(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"}, backoffLimit=3)
        await begin(world)
        await edit(world, cancel=True)
        assert (world.status.phase, world.status.reason) == (Phase.CANCELLED, "CancelRequested")
        assert (world.condition("Failed"), world.condition("Stalled")) == ("True", "True")
        assert newest(world).state is RunState.FAILED
        assert not world.has_finalizer
        await world.later(3600)
        assert len(runs(world)) == 1

    async def test_created_cancelled_nothing_runs(self, world: World) -> None:
        await world.apply(cancel=True)
        assert world.status.phase is Phase.CANCELLED
        assert not world.airflow.runs

    async def test_one_that_waits_is_cancelled_at_once(self, world: World) -> None:
        await world.apply(dagId="unknown")
        await edit(world, cancel=True)
        assert world.status.phase is Phase.CANCELLED
        assert not world.has_finalizer

    async def test_a_submission_without_an_answer_is_found_and_cancelled(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply(cancellation={"strategy": "Api"})
        await edit(world, cancel=True)
        assert newest(world).state is RunState.FAILED
        assert world.status.phase is Phase.CANCELLED


class TestDeletion:
    """No run is ever left behind."""

    async def test_the_cancellation_dag_is_triggered_and_waited_for(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.delete()
        assert world.status.phase is Phase.CANCELLING
        assert world.airflow.only_run(CANCEL_DAG).conf["dag_run_id"] == world.airflow.only_run().run_id
        await finish(world, RunState.FAILED)
        assert not world.exists
        assert world.told[-2:] == ["Cancelling", "Cancelled"]

    async def test_an_end_that_only_an_event_tells_of_is_waited_for_in_airflow(self, world: World) -> None:
        """Airflow publishes it before it stores it, and whoever has deleted the MLJob looks there next."""
        await world.apply()
        await world.look()
        await world.delete()
        await world.tell(RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()))
        assert world.exists
        world.airflow.end(world.airflow.only_run(), RunState.FAILED)
        await world.later(1)
        assert not world.exists

    async def test_rest_cancels_where_the_cancellation_dag_is_paused(self, world: World) -> None:
        world.airflow.paused.add(CANCEL_DAG)
        await world.apply()
        await world.delete()
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_rest_cancels_where_the_cancellation_dag_takes_too_long(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await world.later(19)
        assert "cancel" not in world.airflow.calls
        await world.later(2)
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_a_cancellation_dag_that_has_begun_is_given_time(self, world: World) -> None:
        """It lets teardown tasks run, which REST would fail."""
        await world.apply()
        await world.delete()
        world.airflow.set_task(world.airflow.only_run(CANCEL_DAG), "cancel", TaskState.RUNNING)
        await world.later(25)
        await world.later(25)
        assert "cancel" not in world.airflow.calls
        await world.later(15)
        assert not world.exists

    async def test_a_cancellation_dag_that_waits_for_a_slot_is_not_waited_for(self, world: World) -> None:
        """Airflow calls its run running all the same."""
        await world.apply()
        await world.delete()
        world.airflow.begin(world.airflow.only_run(CANCEL_DAG))
        await world.later(21)
        assert not world.exists

    async def test_a_namespace_that_takes_no_more_events_is_not_held_up(self, world: World) -> None:
        await world.apply(cancellation={"timeoutSeconds": 10})
        world.airflow.down = True
        world.jobs.refuse_events = True
        await world.delete()
        await world.later(11)
        assert not world.exists

    async def test_strategy_api_asks_no_dag(self, world: World) -> None:
        await world.apply(cancellation={"strategy": "Api"})
        await world.delete()
        assert not world.exists
        assert len(world.airflow.runs) == 1

    async def test_retain_leaves_the_run_alone(self, world: World) -> None:
        await world.apply(deletionPolicy="Retain")
        await world.delete()
        assert not world.exists
        assert world.airflow.only_run().state is RunState.QUEUED

    async def test_an_mljob_that_never_ran_goes_at_once(self, world: World) -> None:
        await world.apply(dagId="unknown")
        await world.delete()
        assert not world.exists

    async def test_a_submission_without_an_answer_is_not_left_behind(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        await world.delete()
        await finish(world, RunState.FAILED)
        await world.later(60)
        assert not world.exists
        assert world.airflow.only_run().state is RunState.FAILED

    async def test_a_submission_that_may_still_arrive_is_waited_for(self, world: World) -> None:
        world.airflow.lose_answers = 1
        await world.apply()
        (late,) = world.airflow.runs.items()
        world.airflow.runs.clear()  # it is still under way
        await world.delete()
        assert world.exists
        world.airflow.runs.update([late])
        await world.later(31)
        await world.later(21)
        assert world.airflow.only_run().state is RunState.FAILED
        assert not world.exists

    async def test_an_airflow_that_cannot_be_reached_holds_a_deletion_only_so_long(self, world: World) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        await world.delete()
        for _ in range(5):
            await world.later(10)
            assert world.exists
        await world.later(15)
        assert not world.exists
        assert "CancellationAbandoned" in world.told

    @pytest.mark.parametrize("strategy", ["Dag", "Api"])
    async def test_a_deletion_that_waited_too_long_for_an_operator_ends_the_run_all_the_same(
        self, world: World, strategy: str
    ) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60, "strategy": strategy})
        world.jobs.user_deletes(KEY, world.clock())
        world.clock.tick(100)
        await world.restart()
        assert not world.exists
        assert [run.state for run in world.airflow.runs.values()] == [RunState.FAILED]
        assert "CancellationAbandoned" not in world.told

    async def test_a_deletion_that_waited_too_long_for_an_operator_and_for_airflow_is_let_through(
        self, world: World
    ) -> None:
        await world.apply(cancellation={"timeoutSeconds": 60})
        world.airflow.down = True
        world.jobs.user_deletes(KEY, world.clock())
        world.clock.tick(100)
        await world.restart()
        assert not world.exists
        assert "CancellationAbandoned" in world.told

    async def test_a_restart_in_mid_cancellation_cancels(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await world.restart()
        assert len([run for run in world.airflow.runs.values() if run.dag_id == CANCEL_DAG]) == 1
        world.clock.tick(1)
        await finish(world, RunState.FAILED)
        assert not world.exists

    async def test_a_run_that_succeeds_while_it_is_cancelled_lets_the_mljob_go(self, world: World) -> None:
        await world.apply()
        await world.delete()
        await finish(world)
        assert not world.exists


async def test_what_is_asked_for_an_mljob_that_is_stopped_waits_behind_nobody_elses_submission(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    dag_runs = world.instances.dag_runs

    def spy(name: str, user: Any = None, *, cancelling: bool = False) -> Any:
        asked.append(cancelling)
        return dag_runs(name, user, cancelling=cancelling)

    await world.apply()
    monkeypatch.setattr(world.instances, "dag_runs", spy)
    await world.delete()
    await world.later(6)
    assert asked
    assert all(asked)
