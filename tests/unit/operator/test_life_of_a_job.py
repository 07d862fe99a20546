"""When the run of an MLJob ends, the MLJob succeeds or fails. Later events from Airflow do not change
the phase of the MLJob.
"""

from __future__ import annotations

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import RunState, TaskState
from tests.strategies import event

from .conftest import KEY, World
from .runs import finish


async def test_successful_run_completes_the_mljob(world: World) -> None:
    await world.apply()
    world.airflow.only_run().outputs = {"score": 0.9}
    await finish(world)
    assert world.status.phase is Phase.SUCCEEDED
    assert (world.condition("Complete"), world.condition("Reconciling"), world.condition("Stalled")) == (
        "True",
        "False",
        "False",
    )
    assert world.status.progress == "2/2"
    assert world.status.outputs == {"score": 0.9}
    assert not world.has_finalizer, "a finished MLJob can be deleted while the operator is down"
    assert world.event_reasons == ["Submitted", "Succeeded"]


async def test_failed_run_names_the_failed_task(world: World) -> None:
    await world.apply()
    await finish(world, RunState.FAILED)
    assert (world.status.phase, world.status.reason) == (Phase.FAILED, "TaskFailed")
    assert "extract" in world.message
    assert (world.condition("Failed"), world.condition("Stalled")) == ("True", "True")


async def test_terminal_phase_never_changes(world: World) -> None:
    await world.apply()
    await finish(world)
    await world.tell(
        RunFact(RunState.FAILED, StatusSource.KAFKA, world.clock(), world.clock()),
        event("fit", TaskState.RUNNING, try_number=2),
    )
    assert world.status.phase is Phase.SUCCEEDED
    assert len(world.done) == 3


class TestNamesakes:
    """An MLJob is deleted, and then another MLJob with the same name is created."""

    async def test_re_created_mljob_gets_a_run_of_its_own(self, world: World) -> None:
        await world.apply()
        first = world.airflow.only_run().run_id
        del world.jobs.objects[KEY]  # somebody removed the finalizer by force
        await world.apply()
        assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 1)
        assert [run.run_id for run in world.airflow.runs.values()] == [first, world.status.dag_run_id]

    async def test_re_created_mljob_without_a_finalizer_is_reconciled(self, world: World) -> None:
        await world.apply(suspend=True)
        # The watch is disconnected and does not report this deletion.
        world.jobs.user_deletes(KEY, world.clock())
        await world.apply(suspend=True)
        assert world.status.phase is Phase.SUSPENDED
