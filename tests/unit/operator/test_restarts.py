"""A new operator process continues from the status that the previous process stored."""

from __future__ import annotations

from mljob_operator.core.run.facts import Report
from mljob_operator.core.run.states import TaskState
from tests.strategies import event

from .conftest import World


class TestRestarting:
    async def test_restarted_operator_continues(self, world: World) -> None:
        await world.apply()
        await world.look()
        await world.tell(event("extract", TaskState.SUCCESS))
        before = world.status
        await world.restart()
        assert world.status.tasks == before.tasks
        await world.tell(event("fit", TaskState.RUNNING, seconds=3))
        assert world.status.progress == "1/2", "a few events don't replace what was known before"
        world.airflow.set_task(world.airflow.only_run(), "extract", TaskState.SUCCESS)
        await world.look()
        assert (world.status.progress, world.status.current_task) == ("1/2", "fit")

    async def test_restart_keeps_details_that_only_events_contain(self, world: World) -> None:
        await world.apply()
        await world.look()
        run = world.airflow.only_run()
        world.airflow.begin(run)
        world.airflow.set_task(run, "extract", TaskState.RUNNING)
        report = Report(1, world.clock(), progress=0.5), Report(1, world.clock(), metrics={"loss": 0.1})
        await world.tell(event("extract", TaskState.RUNNING, progress=report[0], metrics=report[1]))
        await world.restart()
        world.clock.tick(1)
        await world.look()
        task = next(task for task in world.status.tasks or () if task.task_id == "extract")
        assert (task.progress, task.metrics) == (50, {"loss": 0.1})
