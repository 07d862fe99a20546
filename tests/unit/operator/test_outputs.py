"""The operator stores XComs of a run as outputs in the status."""

from __future__ import annotations

import asyncio

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.run.states import RunState, TaskState
from tests.live.eventually import until

from .conftest import KEY, World
from .runs import begin, end, finish, newest


class TestOutputs:
    async def test_xcoms_become_outputs(self, world: World) -> None:
        await world.apply(outputs=[{"name": "score", "taskId": "fit"}, {"name": "lost", "taskId": "extract"}])
        newest(world).xcoms["fit", "return_value"] = 0.93
        await end(world, RunState.SUCCESS)
        assert (world.status.outputs, world.status.outputs_omitted) == ({"score": 0.93}, None)

    async def test_output_of_a_task_that_the_run_does_not_have_is_named(self, world: World) -> None:
        await world.apply(outputs=[{"name": "score", "taskId": "fit"}, {"name": "loss", "taskId": "evalaute"}])
        newest(world).xcoms["fit", "return_value"] = 0.93
        await end(world, RunState.SUCCESS)
        assert world.status.outputs == {"score": 0.93}
        assert world.status.outputs_omitted == ["loss (the run has no task evalaute)"]

    async def test_output_that_another_task_published_is_not_missing(self, world: World) -> None:
        await world.apply(outputs=[{"name": "score", "taskId": "evalaute"}])
        newest(world).outputs = {"score": 0.9}
        await end(world, RunState.SUCCESS)
        assert (world.status.outputs, world.status.outputs_omitted) == ({"score": 0.9}, None)


async def test_complete_is_not_true_before_the_outputs_are_stored(world: World) -> None:
    await world.apply()
    run = world.airflow.only_run()
    run.outputs = {"score": 0.9}
    world.airflow.down_for = {"outputs": 2}
    await finish(world)
    assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "CollectingOutputs")
    assert (world.status.dag_run_state, world.condition("Complete")) == ("success", None)
    assert "down for outputs" in world.message
    await world.later(1)
    assert world.status.phase is Phase.RUNNING
    await world.later(2)
    assert (world.status.phase, world.condition("Complete"), world.status.outputs) == (
        Phase.SUCCEEDED,
        "True",
        {"score": 0.9},
    )
    told = [patch.get("outputs") for patch in world.jobs.patches if patch.get("phase") == "Succeeded"]
    assert told == [{"score": 0.9}], "in one patch"


async def test_unreachable_airflow_delays_the_end_of_an_mljob_only_for_a_while(world: World) -> None:
    await world.apply()
    run = world.airflow.only_run()
    run.outputs = {"score": 0.9}
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS)
    world.airflow.end(run, RunState.SUCCESS)
    world.airflow.down_for = {"tasks": 1000}
    await world.tell(RunFact(RunState.SUCCESS, StatusSource.KAFKA, world.clock(), world.clock()))
    world.airflow.down = True
    assert world.status.phase is Phase.RUNNING
    await world.later(29)
    assert world.status.phase is Phase.RUNNING
    await world.later(1)
    assert (world.status.phase, world.condition("Complete")) == (Phase.SUCCEEDED, "True")
    assert "could not be read" in world.message
    since = next(c.last_transition_time for c in world.status.conditions or () if c.type == "Complete")
    world.airflow.down, world.airflow.down_for = False, {}
    await world.later(60)
    assert world.status.outputs == {"score": 0.9}
    assert "could not be read" not in world.message
    assert next(c.last_transition_time for c in world.status.conditions or () if c.type == "Complete") == since
    assert not world.has_finalizer


async def test_status_names_outputs_that_are_too_large(world: World) -> None:
    await world.apply()
    world.airflow.only_run().outputs = {"weights": "w" * 20_000, "score": 0.9}
    await finish(world)
    assert (world.status.outputs, world.status.outputs_omitted) == ({"score": 0.9}, ["weights"])


async def vanish(world: World) -> None:
    run = world.airflow.only_run()
    del world.airflow.runs[run.dag_id, run.run_id]
    for _ in range(2):
        await world.later(4)


class TestRunDeletedBeforeItsOutputsWereRead:
    LOST = ("all outputs (the run was deleted in Airflow before they were read)",)

    def told(self, world: World) -> bool:
        assert (world.status.phase, world.status.outputs) == (Phase.SUCCEEDED, None)
        assert tuple(world.status.outputs_omitted or ()) == self.LOST
        assert world.message.endswith("Its outputs are lost, as status.outputsOmitted says. To get them, run it again.")
        return not world.has_finalizer

    async def test_run_deleted_before_its_tasks_were_listed(self, world: World) -> None:
        await world.apply()
        world.airflow.only_run().outputs = {"score": 0.9}
        world.airflow.down_for = {"tasks": 1}
        await finish(world)
        await vanish(world)
        assert self.told(world)

    async def test_run_deleted_while_its_outputs_are_read(self, world: World) -> None:
        await world.apply()
        run = world.airflow.only_run()
        world.airflow.before = {"outputs": lambda: world.airflow.runs.pop((run.dag_id, run.run_id))}
        await finish(world)
        assert (world.status.phase, world.status.reason) == (Phase.RUNNING, "CollectingOutputs")
        await world.later(4)
        assert self.told(world)
        assert (world.status.progress, world.meter.contradicted) == ("2/2", 0)

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_run_deleted_after_the_verdict_came_without_outputs(self, world: World, *, restarted: bool) -> None:
        await world.apply()
        world.airflow.only_run().outputs = {"score": 0.9}
        world.airflow.down_for = {"tasks": 1000}
        await finish(world)
        await world.later(31)
        assert "could not be read" in world.message
        assert world.has_finalizer
        if restarted:
            await world.restart()
        world.airflow.down_for = {}
        await vanish(world)
        assert self.told(world)
        before = world.jobs.objects[KEY]["status"]
        await world.restart()
        await world.later(60)
        assert world.jobs.objects[KEY]["status"] == before

    async def test_retry_forgets_what_was_lost(self, world: World) -> None:
        await world.apply()
        world.airflow.down_for = {"tasks": 1}
        await finish(world)
        await vanish(world)
        await world.request_retry()
        await world.later(20)
        assert (world.status.attempts, world.status.outputs_omitted) == (2, None)
        world.airflow.only_run().outputs = {"score": 0.9}
        await end(world, RunState.SUCCESS)
        assert (world.status.outputs, world.status.outputs_omitted) == ({"score": 0.9}, None)

    @pytest.mark.parametrize("outputs", [{}, {"score": 0.9}], ids=["without-outputs", "with-outputs"])
    async def test_run_deleted_after_its_outputs_were_read(self, world: World, outputs: dict[str, float]) -> None:
        await world.apply()
        run = newest(world)
        run.outputs = outputs
        world.airflow.before = {"tasks": lambda: world.airflow.runs.pop((run.dag_id, run.run_id))}
        await end(world, RunState.SUCCESS)
        await world.later(4)
        if outputs:
            assert (world.status.phase, world.status.outputs, world.status.outputs_omitted) == (
                Phase.SUCCEEDED,
                outputs,
                None,
            )
        else:
            assert self.told(world)
        assert (world.status.progress, world.meter.contradicted) == ("2/2", 0)

    async def test_failed_run_that_is_deleted_before_its_tasks_are_listed_keeps_its_tasks(self, world: World) -> None:
        await world.apply()
        run = newest(world)
        world.airflow.before = {"tasks": lambda: world.airflow.runs.pop((run.dag_id, run.run_id))}
        await end(world, RunState.FAILED)
        await world.later(4)
        assert (world.status.phase, world.status.outputs_omitted, world.has_finalizer) == (Phase.FAILED, None, False)
        assert (len(world.status.tasks or ()), world.meter.contradicted) == (2, 0)

    async def test_run_that_published_nothing_lost_nothing(self, world: World) -> None:
        await world.apply()
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, world.status.outputs, world.status.outputs_omitted) == (Phase.SUCCEEDED, None, None)
        assert "lost" not in world.message
        asked = [call for call in world.airflow.calls if call != "active_runs"]
        assert asked[-2:] == ["outputs", "tasks"], "the list of tasks shows that the run still exists"

    @pytest.mark.parametrize("has_tasks", [True, False])
    async def test_run_with_unknown_tasks_lost_nothing(self, world: World, *, has_tasks: bool) -> None:
        await world.apply()
        if not has_tasks:
            world.airflow.only_run().tasks = {}
        await finish(world)
        assert (world.status.phase, world.status.outputs, world.status.outputs_omitted) == (Phase.SUCCEEDED, None, None)
        assert world.airflow.calls[-3:] == ["tasks", "outputs", "get"], (
            "one request finds out that the run still exists"
        )

    @pytest.mark.parametrize("state", [RunState.FAILED, RunState.SUCCESS])
    async def test_outputs_that_a_task_publishes_after_the_end_of_its_run_are_read(
        self, world: World, state: RunState
    ) -> None:
        await world.apply(outputs=[{"name": "score", "taskId": "fit"}])
        await begin(world)
        run = newest(world)
        world.airflow.set_task(run, "fit", TaskState.RUNNING)

        def publish() -> None:
            run.xcoms["fit", "return_value"] = 0.5
            world.airflow.set_task(run, "fit", TaskState.SUCCESS)

        world.airflow.before = {"tasks": publish}
        world.airflow.set_task(run, "extract", TaskState.SUCCESS)
        world.airflow.end(run, state)
        world.clock.tick(1)
        await world.look()
        assert world.status.outputs == {"score": 0.5}


class TestDeletionWhileTheOutputsAreRead:
    async def hold_up(self, world: World, monkeypatch: pytest.MonkeyPatch, **spec: object) -> None:
        """End the run of an MLJob, and wait until the operator reads the outputs. The read does not
        end.
        """
        begun = asyncio.Event()

        async def outputs(*_: object) -> Outputs:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(world.airflow, "outputs", outputs)
        await world.apply(**spec)
        await begin(world)
        world.airflow.end(newest(world), RunState.SUCCESS)
        world.clock.tick(1)
        await world.resync.pass_once()
        await begun.wait()

    def delete(self, world: World) -> None:
        deleted = world.jobs.user_deletes(KEY, world.clock())
        assert deleted is not None, "the finalizer holds the MLJob"
        world.job_controller.observe(deleted)

    @pytest.mark.parametrize("policy", ["Cancel", "Retain"])
    async def test_deletion_does_not_wait_for_the_outputs(
        self, world: World, monkeypatch: pytest.MonkeyPatch, policy: str
    ) -> None:
        await self.hold_up(world, monkeypatch, deletionPolicy=policy)
        self.delete(world)
        await until(lambda: not world.exists)
        assert "cancel" not in world.airflow.calls

    async def test_deletion_that_comes_before_the_read_is_noticed(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def tasks(*_: object) -> object:
            monkeypatch.undo()
            found = await world.airflow.tasks(*_)  # type: ignore[arg-type]
            self.delete(world)
            return found

        await world.apply()
        monkeypatch.setattr(world.airflow, "tasks", tasks)
        await end(world, RunState.FAILED)
        assert not world.exists
        assert "outputs" not in world.airflow.calls

    async def test_mljob_of_the_same_name_does_not_wait_for_the_outputs(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.hold_up(world, monkeypatch)
        uid = world.jobs.objects.pop(KEY)["metadata"]["uid"]
        world.observe_deletion(KEY, uid)
        await world.apply()
        assert newest(world).state is RunState.QUEUED


async def test_outputs_are_lost_if_nothing_holds_the_mljob(world: World) -> None:
    await world.apply()
    world.airflow.only_run().outputs = {"score": 0.9}
    world.jobs.objects[KEY]["metadata"]["finalizers"] = []
    await world.edit()
    await finish(world)
    assert (world.status.phase, world.status.outputs_omitted) == (
        Phase.SUCCEEDED,
        ["all outputs (the finalizer was removed before they were read)"],
    )
