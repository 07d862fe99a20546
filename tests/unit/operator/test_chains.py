"""MLJobs that take the outputs of other MLJobs."""

from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState, TaskState

from .chains import LATER, OUTPUTS, WAITING, apply, condition, end, message, runs_of, status, verdict
from .conftest import World


class TestOrder:
    async def test_chain_applied_in_the_wrong_order_runs_in_order(self, world: World) -> None:
        await apply(world, "predict", "train", dagId="predict")
        await apply(world, "train", "data")
        await apply(world, "data")
        assert verdict(world, "predict") == verdict(world, "train") == WAITING
        assert not runs_of(world, "train")

        await end(world, "data")
        assert runs_of(world, "train")[0].conf == OUTPUTS
        assert not runs_of(world, "predict")
        await end(world, "train", {"model_id": "digits", "accuracy": 0.9, "labels": [1, 2]})
        assert runs_of(world, "predict")[0].conf == {"model_id": "digits", "accuracy": 0.9, "labels": [1, 2]}
        await end(world, "predict")
        assert [len(runs_of(world, name)) for name in ("data", "train", "predict")] == [1, 1, 1]
        assert verdict(world, "predict")[0] == "Succeeded"

    async def test_mljob_that_is_applied_after_the_success_runs_at_once(self, world: World) -> None:
        await apply(world, "data")
        await end(world, "data")
        await apply(world, "train", "data")
        assert runs_of(world, "train")[0].conf == OUTPUTS

    async def test_mljob_takes_the_named_outputs_and_conf_takes_precedence(self, world: World) -> None:
        world.jobs.data["ConfigMap", "defaults"] = {"rows": "1", "dataset": "none", "seed": "7"}
        await apply(
            world,
            "train",
            confFrom=[
                {"configMapRef": {"name": "defaults"}},
                {"outputsRef": {"name": "data", "keys": ["rows", "path.json"]}},
            ],
            conf={"epochs": 5},
        )
        await apply(world, "data")
        await end(world, "data", {**OUTPUTS, "path.json": "no JSON"})
        assert runs_of(world, "train")[0].conf == {
            "dataset": "none",
            "seed": "7",
            "rows": 2000,
            "path.json": "no JSON",
            "epochs": 5,
        }

    async def test_status_names_the_run_whose_outputs_it_took(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data")
        await end(world, "data")
        [taken] = status(world, "train").upstreams or []
        assert (taken.name, taken.dag_run_id, taken.attempt) == ("data", runs_of(world, "data")[0].run_id, 1)

    async def test_waiting_mljob_asks_nothing_of_airflow_and_has_no_finalizer(self, world: World) -> None:
        await apply(world, "train", "data")
        await world.later(LATER)
        assert not world.airflow.runs
        assert not world.jobs.objects["team-a", "train"]["metadata"].get("finalizers")
        assert message(world, "train") == (
            "MLJob data (spec.confFrom[0].outputsRef) does not exist in namespace team-a. "
            "The run starts when MLJob data has succeeded."
        )
        assert condition(world, "train", "Stalled") == "False"
        assert not world.jobs.kube_events, "waiting for another MLJob is no warning"

    async def test_mljob_does_not_wait_for_an_mljob_of_another_namespace(self, world: World) -> None:
        world.jobs.create("data", {"dagId": "train"}, namespace="team-b")
        await apply(world, "train", "data")
        assert "does not exist in namespace team-a" in message(world, "train")

    async def test_outputs_that_are_still_being_collected_are_waited_for(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data")
        world.airflow.down_for = {"outputs": 1}
        await end(world, "data")
        assert verdict(world, "data") == ("Running", "CollectingOutputs")
        assert verdict(world, "train") == WAITING
        await world.later(3)
        await world.see_all()
        assert runs_of(world, "train")[0].conf == OUTPUTS

    async def test_backfill_waits_and_can_be_waited_for(self, world: World) -> None:
        dates = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-02T00:00:00Z"}
        await apply(world, "report", "past-days")
        await apply(world, "past-days", "data", type="Backfill", dagId="days", backfill=dates)
        assert verdict(world, "past-days") == WAITING
        await apply(world, "data")
        await end(world, "data")
        [backfill] = world.airflow.backfills.made.values()
        assert OUTPUTS.items() <= backfill.conf.items()

        for run in world.airflow.backfills.runs(backfill.id):
            world.airflow.end(run, RunState.SUCCESS)
        world.clock.tick(1)
        await world.look()
        await world.see_all()
        assert [run.conf for run in runs_of(world, "report")] == [{}], "a backfill has no outputs"


class TestWork:
    async def test_many_waiting_mljobs_share_what_is_read(self, world: World) -> None:
        await apply(world, "data")
        for number in range(20):
            world.jobs.create(f"job-{number}", {"dagId": "train", "confFrom": [{"outputsRef": {"name": "data"}}]})
        before = world.jobs.reads
        await world.see_all()
        assert world.jobs.reads - before < 20, "MLJobs that wait at the same time may each read it"
        before = world.jobs.reads
        await end(world, "data")
        assert [len(runs_of(world, f"job-{number}")) for number in range(20)] == [1] * 20
        assert world.jobs.reads == before, "the watch delivers the changes"

    async def test_progress_of_the_other_wakes_nobody(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data")
        before = world.jobs.patches.copy()
        run = runs_of(world, "data")[0]
        world.airflow.begin(run)
        world.airflow.set_task(run, "extract", TaskState.RUNNING)
        await world.look()
        woken = world.job_controller.tasks
        await world.see_all()
        assert world.jobs.objects["team-a", "data"]["status"]["phase"] == Phase.RUNNING
        assert not woken
        assert len(world.jobs.patches) > len(before)
        assert verdict(world, "train") == WAITING
