"""MLJobs that take the outputs of other MLJobs."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.mljob import MLJobStatus, Phase, ReprocessBehavior
from mljob_operator.core.mljob.upstream import READ_AGAIN_AFTER
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import FakeRun

from .conftest import World

OUTPUTS = {"dataset": "digits", "rows": 2000}
LATER = READ_AGAIN_AFTER.total_seconds()


async def apply(world: World, name: str, *upstreams: str, **spec: Any) -> None:
    taken = [{"outputsRef": {"name": upstream}} for upstream in upstreams]
    conf_from = {"confFrom": taken} if taken else {}
    world.airflow.dags["predict"] = ("score",)
    world.jobs.create(name, {"dagId": "train", **conf_from, **spec}, at=world.clock().isoformat())
    await world.see_all()
    await world.see_all()


def status(world: World, name: str) -> MLJobStatus:
    return MLJobStatus.model_validate(world.jobs.objects["team-a", name]["status"])


def verdict(world: World, name: str) -> tuple[str, str]:
    return str(status(world, name).phase), str(status(world, name).reason)


def message(world: World, name: str) -> str:
    return status(world, name).message or ""


def condition(world: World, name: str, kind: str) -> str | None:
    return next((str(c.status) for c in status(world, name).conditions or () if c.type == kind), None)


def runs_of(world: World, name: str) -> list[FakeRun]:
    return [run for run in world.airflow.runs.values() if run.run_id.startswith(f"mljob.team-a.{name}.")]


async def end(
    world: World, name: str, outputs: dict[str, Any] | None = None, state: RunState = RunState.SUCCESS
) -> None:
    run = runs_of(world, name)[-1]
    run.outputs = OUTPUTS if outputs is None else outputs
    for task_id, _ in list(run.tasks):
        world.airflow.set_task(run, task_id, TaskState.SUCCESS if state is RunState.SUCCESS else TaskState.FAILED)
    world.airflow.end(run, state)
    world.clock.tick(1)
    await world.look()
    await world.see_all()


async def edit(world: World, name: str, **spec: Any) -> None:
    world.jobs.edit(("team-a", name), spec)
    await world.see_all()
    await world.see_all()


async def delete(world: World, name: str) -> None:
    uid = world.jobs.objects["team-a", name]["metadata"]["uid"]
    world.jobs.user_deletes(("team-a", name), world.clock())
    await world.see_all()
    assert ("team-a", name) not in world.jobs.objects
    world.job_controller.observe_deletion(("team-a", name), uid)
    await world.settle()


WAITING = ("Pending", "WaitingForMLJob")
FAILED = ("Pending", "DependencyFailed")


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


class TestFailure:
    async def test_failure_is_told_and_a_retry_in_airflow_heals_it(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data")
        await end(world, "data", state=RunState.FAILED)
        assert verdict(world, "train") == FAILED
        assert message(world, "train").startswith(
            "MLJob data (spec.confFrom[0].outputsRef) is Failed with reason TaskFailed: Task extract failed"
        )
        assert condition(world, "train", "Stalled") == "True"
        assert [event.reason for name, event in world.jobs.kube_events if name == "train"] == ["DependencyFailed"]

        world.clock.tick(5)
        world.airflow.clear(runs_of(world, "data")[0])
        await world.look()
        await world.see_all()
        assert verdict(world, "train") == WAITING
        await end(world, "data")
        assert runs_of(world, "train")[0].conf == OUTPUTS

    async def test_requested_retry_of_the_other_heals_it(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data")
        await end(world, "data", state=RunState.FAILED)
        assert verdict(world, "train") == FAILED
        world.jobs.request_retry(("team-a", "data"), "now")
        await world.see_all()
        await world.later(10)
        await world.see_all()
        assert verdict(world, "train") == WAITING
        await end(world, "data")
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_success_does_not_count_while_a_retry_is_requested(self, world: World) -> None:
        await apply(world, "data")
        await end(world, "data")
        world.jobs.request_retry(("team-a", "data"), "now")
        await apply(world, "train", "data")
        assert verdict(world, "train") == WAITING
        await world.later(10)
        await end(world, "data", {"dataset": "new"})
        assert [run.conf for run in runs_of(world, "train")] == [{"dataset": "new"}]

    async def test_failure_passes_on_along_the_chain_and_names_its_cause(self, world: World) -> None:
        await apply(world, "predict", "train")
        await apply(world, "train", "data")
        await apply(world, "data")
        await end(world, "data", state=RunState.FAILED)
        await world.see_all()
        assert verdict(world, "predict") == FAILED
        assert "MLJob train" in message(world, "predict")
        assert "because MLJob data is Failed with reason TaskFailed: Task extract" in message(world, "predict")

        await delete(world, "data")
        await world.see_all()
        await world.see_all()
        assert verdict(world, "predict") == verdict(world, "train") == WAITING
        await apply(world, "data")
        await end(world, "data")
        await end(world, "train")
        assert len(runs_of(world, "predict")) == 1

    async def test_mljob_waits_while_the_other_is_retried(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data", backoffLimit=1)
        await end(world, "data", state=RunState.FAILED)
        assert verdict(world, "data") == ("Pending", "RetryBackoff")
        assert verdict(world, "train") == WAITING
        await world.later(10)
        await end(world, "data")
        assert [taken.attempt for taken in status(world, "train").upstreams or ()] == [2]

    async def test_cancelled_mljob_gives_no_outputs(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data", suspend=True)
        assert "is suspended" in message(world, "train")
        await edit(world, "data", suspend=False, cancel=True)
        await world.later(1)
        await world.see_all()
        assert verdict(world, "data") == ("Cancelled", "CancelRequested")
        assert verdict(world, "train") == FAILED

    async def test_success_of_an_old_spec_does_not_count(self, world: World) -> None:
        await apply(world, "data", conf={"a": 1})
        await end(world, "data")
        await edit(world, "data", conf={"a": 2})
        await apply(world, "train", "data")
        assert verdict(world, "train") == FAILED
        assert "Succeeded with reason RunPolicyOnce" in message(world, "train")

        await edit(world, "data", conf={"a": 1})
        assert runs_of(world, "train")[0].conf == OUTPUTS

    async def test_mljob_waits_for_the_run_of_a_changed_spec(self, world: World) -> None:
        await apply(world, "data", runPolicy="OnChange")
        await end(world, "data")
        await edit(world, "data", conf={"a": 2})
        await apply(world, "train", "data")
        assert verdict(world, "train") == WAITING
        await end(world, "data", {"dataset": "new"})
        assert runs_of(world, "train")[0].conf == {"dataset": "new"}

    async def test_mljob_is_refused_as_the_other_is_and_continues_with_it(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
        await apply(world, "predict", "train", dagId="predict")
        await apply(world, "train", conf={"epochs": "many"})
        assert verdict(world, "predict") == FAILED
        assert "Pending with reason ValidationFailed: The conf does not fit" in message(world, "predict")
        await edit(world, "train", conf={"epochs": 3})
        assert verdict(world, "predict") == WAITING

    @pytest.mark.parametrize(
        ("outputs", "reference", "expected"),
        [
            pytest.param(
                OUTPUTS,
                {"keys": ["rows", "path"]},
                "succeeded without the output 'path'. Its outputs are dataset, rows.",
                id="a key that is no output",
            ),
            pytest.param(
                OUTPUTS | {"weights": "w" * 17_000},
                {"keys": ["weights"]},
                "without the output 'weights'. The output was too large or not JSON",
                id="a key that was too large",
            ),
            pytest.param(
                OUTPUTS | {"weights": "w" * 17_000},
                {},
                "succeeded without some of its outputs: weights (status.outputsOmitted). Name the outputs",
                id="all outputs, of which one was too large",
            ),
            pytest.param({}, {"keys": ["path"]}, "It has no outputs.", id="a key of nothing"),
        ],
    )
    async def test_lacking_outputs_are_named(
        self, world: World, outputs: dict[str, Any], reference: dict[str, Any], expected: str
    ) -> None:
        await apply(world, "train", confFrom=[{"outputsRef": {"name": "data", **reference}}])
        await apply(world, "data")
        await end(world, "data", outputs)
        assert verdict(world, "train") == FAILED
        assert expected in message(world, "train")

        await edit(world, "train", confFrom=[{"outputsRef": {"name": "data", "keys": ["rows"]}}])
        assert bool(runs_of(world, "train")) is ("rows" in outputs)

    async def test_lost_outputs_are_not_taken_for_none(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data")
        run = runs_of(world, "data")[0]
        world.airflow.before = {"outputs": lambda: world.airflow.runs.pop((run.dag_id, run.run_id))}
        await end(world, "data")
        await world.later(4)
        await world.see_all()
        assert verdict(world, "data")[0] == "Succeeded"
        assert verdict(world, "train") == FAILED
        assert "its outputs are lost: all outputs (the run was deleted in Airflow" in message(world, "train")
        world.jobs.request_retry(("team-a", "data"), "now")
        await world.see_all()
        for _ in range(3):
            await world.later(10)
        await end(world, "data")
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_output_that_is_no_param_is_named_with_its_source(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
        sources = [{"configMapRef": {"name": "none", "optional": True}}, {"outputsRef": {"name": "data"}}]
        await apply(world, "data")
        await apply(world, "train", confFrom=sources)
        await end(world, "data", {"epoch": 3})
        [told] = [event.message for name, event in world.jobs.kube_events if event.reason == "UnknownParams"]
        assert (
            "spec.confFrom[1] (the outputs of MLJob data).epoch: the DAG has no such param (did you mean epochs?)"
            in told
        )

    async def test_redacted_output_is_not_taken(self, world: World) -> None:
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        await apply(world, "data", confFrom=[{"secretRef": {"name": "warehouse"}}])
        await apply(world, "train", "data")
        await end(world, "data", {"dataset": "digits", "url": "http://user:hunter2@db"})
        assert verdict(world, "train") == FAILED
        assert "has the output 'url', in which a value from a Secret is replaced by ***" in message(world, "train")
        await edit(world, "train", confFrom=[{"outputsRef": {"name": "data", "keys": ["dataset"]}}])
        assert runs_of(world, "train")[0].conf == {"dataset": "digits"}

    async def test_cycle_is_told_and_ends_when_one_of_its_members_changes(self, world: World) -> None:
        await apply(world, "a", "b")
        await apply(world, "b", "c")
        await apply(world, "c", "a")
        await world.see_all()
        await world.see_all()
        assert {verdict(world, name) for name in "abc"} == {FAILED}
        assert "a waits for b, and b waits for c, and c waits for a" in message(world, "a")

        await edit(world, "c", confFrom=[])
        await world.see_all()
        assert len(runs_of(world, "c")) == 1
        assert verdict(world, "a") == verdict(world, "b") == WAITING
        await end(world, "c")
        await end(world, "b")
        assert len(runs_of(world, "a")) == 1

    async def test_cycle_of_changed_specs_is_told(self, world: World) -> None:
        await apply(world, "a", runPolicy="OnChange")
        await end(world, "a")
        await apply(world, "b", "a", runPolicy="OnChange")
        await end(world, "b")
        world.jobs.edit(("team-a", "a"), {"confFrom": [{"outputsRef": {"name": "b"}}]})
        world.jobs.edit(("team-a", "b"), {"conf": {"epochs": 5}})
        for _ in range(3):
            await world.see_all()
        for name in ("a", "b"):
            assert verdict(world, name)[0] == "Succeeded"
            [unapplied] = [c for c in status(world, name).conditions or () if c.type == "SpecApplied"]
            assert unapplied.reason == "DependencyFailed"
            assert "wait for each other's outputs" in unapplied.message

        await edit(world, "a", confFrom=[{"configMapRef": {"name": "none", "optional": True}}])
        await end(world, "a", {"dataset": "new"})
        assert runs_of(world, "b")[-1].conf == {"dataset": "new", "epochs": 5}

    async def test_mljob_that_waits_for_itself_is_told(self, world: World) -> None:
        # Such an MLJob may have been stored under another version of the CRD.
        await apply(world, "train", "train")
        assert verdict(world, "train") == FAILED
        assert "waits for its own outputs" in message(world, "train")


class TestLife:
    async def test_restart_while_it_waits_changes_nothing(self, world: World) -> None:
        await apply(world, "train", "data")
        await apply(world, "data")
        await world.restart()
        await end(world, "data")
        await world.restart()
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_success_while_no_operator_runs_is_found_by_the_next(self, world: World) -> None:
        await apply(world, "data")
        await end(world, "data")
        world.jobs.create("train", {"dagId": "train", "confFrom": [{"outputsRef": {"name": "data"}}]})
        await world.restart()
        assert runs_of(world, "train")[0].conf == OUTPUTS

    async def test_announced_attempt_takes_the_outputs_of_a_newer_run(self, world: World) -> None:
        await apply(world, "train", "data", dagId="missing")
        await apply(world, "data", runPolicy="OnChange")
        await end(world, "data")
        assert verdict(world, "train") == ("Pending", "DagNotFound")
        [before] = status(world, "train").upstreams or []

        await edit(world, "data", conf={"a": 2})
        await end(world, "data", {"dataset": "new"})
        world.airflow.dags["missing"] = ("score",)
        await world.later(60)
        await world.see_all()
        assert [run.conf for run in runs_of(world, "train")] == [{"dataset": "new"}]
        [after] = status(world, "train").upstreams or []
        assert after.dag_run_id == runs_of(world, "data")[-1].run_id != before.dag_run_id
        assert status(world, "train").attempts == 1

    async def test_conf_that_was_refused_is_tried_again_with_newer_outputs(self, world: World) -> None:
        world.airflow.dag_params["predict"] = {"rows": {"value": 3, "schema": {"type": "integer"}}}
        await apply(world, "predict", "data", dagId="predict")
        await apply(world, "data", runPolicy="OnChange")
        await end(world, "data", {"rows": "many"})
        assert verdict(world, "predict") == ("Pending", "ValidationFailed")
        await edit(world, "data", conf={"a": 2})
        await end(world, "data", {"rows": 5})
        await world.later(3)
        assert [run.conf for run in runs_of(world, "predict")] == [{"rows": 5}]

    async def test_later_run_of_the_other_starts_nothing(self, world: World) -> None:
        await apply(world, "data", runPolicy="OnChange")
        await apply(world, "train", "data", runPolicy="OnChange")
        await end(world, "data")
        await end(world, "train")
        await edit(world, "data", conf={"a": 2})
        await end(world, "data", {"dataset": "new"})
        await world.later(LATER)
        assert len(runs_of(world, "train")) == 1

    async def test_retry_of_failed_tasks_needs_no_outputs(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", backoffLimit=1)
        await end(world, "data")
        taken = status(world, "train").upstreams
        await delete(world, "data")
        await end(world, "train", state=RunState.FAILED)
        await world.later(10)
        assert verdict(world, "train")[0] in ("Queued", "Running")
        assert status(world, "train").upstreams == taken

    async def test_retry_with_a_new_run_takes_the_outputs_again(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", backoffLimit=1, retryStrategy="NewRun")
        await end(world, "data")
        await delete(world, "data")
        await end(world, "train", state=RunState.FAILED)
        await world.later(10)
        assert verdict(world, "train") == WAITING
        await apply(world, "data")
        await end(world, "data", {"dataset": "new"})
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS, {"dataset": "new"}]

    async def test_refused_change_of_the_spec_keeps_the_conf_without_the_other(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", backoffLimit=1, retryStrategy="NewRun")
        await end(world, "data")
        taken = status(world, "train").upstreams
        await delete(world, "data")
        await edit(world, "train", conf={"a": 1})
        await end(world, "train", state=RunState.FAILED)
        await world.later(10)
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS, OUTPUTS]
        assert status(world, "train").upstreams == taken

    async def lose_backfill(self, world: World) -> None:
        """Let the backfill of the MLJob ``past-days`` fail, and delete the backfill in Airflow
        before the retry. The backfill takes outputs of the MLJob ``data``.
        """
        dates = {"from": "2025-12-01T00:00:00Z", "to": "2025-12-01T00:00:00Z"}
        await apply(world, "data", runPolicy="OnChange")
        await apply(world, "past-days", "data", type="Backfill", dagId="days", backfill=dates, backoffLimit=1)
        await end(world, "data")
        backfills = world.airflow.backfills
        [backfill] = backfills.made.values()
        for run in backfills.runs(backfill.id):
            world.airflow.end(run, RunState.FAILED)
        backfills.close(backfill.id)
        world.clock.tick(1)
        await world.look()
        del backfills.made[backfill.id]

    async def test_retry_of_a_lost_backfill_reads_the_outputs(self, world: World) -> None:
        await self.lose_backfill(world)
        await world.later(10)
        [again] = world.airflow.backfills.made.values()
        assert OUTPUTS.items() <= again.conf.items()
        assert again.reprocess is ReprocessBehavior.FAILED

    async def test_retry_of_a_lost_backfill_waits_for_the_outputs(self, world: World) -> None:
        await self.lose_backfill(world)
        await delete(world, "data")
        await world.later(10)
        assert verdict(world, "past-days") == WAITING
        assert not world.airflow.backfills.made
        await apply(world, "data")
        await end(world, "data", {"dataset": "new"})
        [again] = world.airflow.backfills.made.values()
        assert (again.conf["dataset"], again.reprocess) == ("new", ReprocessBehavior.FAILED)
        [taken] = status(world, "past-days").upstreams or []
        assert taken.dag_run_id == runs_of(world, "data")[-1].run_id, "the status names the run behind the conf"

    async def test_retry_of_a_lost_backfill_takes_no_outputs_that_lack_some(self, world: World) -> None:
        await self.lose_backfill(world)
        await edit(world, "data", conf={"a": 2})
        await end(world, "data", OUTPUTS | {"weights": "w" * 17_000})
        await world.later(10)
        assert verdict(world, "past-days") == FAILED
        assert "succeeded without some of its outputs: weights" in message(world, "past-days")
        assert not world.airflow.backfills.made

    async def test_deletion_of_the_other_before_its_success_is_told(self, world: World) -> None:
        await apply(world, "data", cancellation={"strategy": "Api"})
        await apply(world, "train", "data")
        assert "has not succeeded yet" in message(world, "train")
        uid = world.jobs.objects["team-a", "data"]["metadata"]["uid"]
        world.jobs.user_deletes(("team-a", "data"), world.clock())
        await world.see_all()
        await world.later(10)
        world.job_controller.observe_deletion(("team-a", "data"), uid)
        await world.settle()
        assert "does not exist" in message(world, "train")

    @pytest.mark.parametrize("missed", [False, True])
    async def test_mljob_that_expires_before_its_outputs_are_taken_is_told(self, world: World, *, missed: bool) -> None:
        await apply(world, "data", ttlSecondsAfterFinished=10)
        await apply(world, "raw")
        await apply(world, "train", "data", "raw")
        uid = world.jobs.objects["team-a", "data"]["metadata"]["uid"]
        await end(world, "data")
        await world.later(11)
        assert ("team-a", "data") not in world.jobs.objects
        if not missed:
            world.job_controller.observe_deletion(("team-a", "data"), uid)
        await world.later(LATER if missed else 0)
        assert verdict(world, "train") == WAITING
        assert (
            "MLJob data (spec.confFrom[0].outputsRef) has succeeded, but was deleted from namespace team-a before its "
            "outputs were taken. Create it again, with a longer spec.ttlSecondsAfterFinished if it has one."
        ) in message(world, "train")
        await apply(world, "data")
        await end(world, "data")
        await end(world, "raw", {})
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_deletion_that_the_watch_missed_is_found(self, world: World) -> None:
        await apply(world, "data", suspend=True)
        await apply(world, "train", "data")
        world.jobs.objects.pop(("team-a", "data"))
        await world.later(LATER)
        assert "does not exist" in message(world, "train")

    async def test_suspended_mljob_starts_nothing_when_the_other_succeeds(self, world: World) -> None:
        await apply(world, "data")
        await apply(world, "train", "data", suspend=True)
        await end(world, "data")
        assert not runs_of(world, "train")
        await edit(world, "train", suspend=False)
        assert len(runs_of(world, "train")) == 1

    @pytest.mark.parametrize("deadline", ["activeDeadlineSeconds", "preRunningDeadlineSeconds"])
    async def test_deadlines_count_while_an_mljob_waits(self, world: World, deadline: str) -> None:
        await apply(world, "train", "data", **{deadline: 60})
        await world.later(61)
        assert verdict(world, "train")[0] == "Failed"
        assert deadline in message(world, "train")
        await apply(world, "data")
        await end(world, "data")
        assert not runs_of(world, "train")

    async def test_retry_requested_before_a_deadline_passes_is_due_after_its_backoff(self, world: World) -> None:
        await apply(world, "train", "data", activeDeadlineSeconds=60)
        world.jobs.request_retry(("team-a", "train"), "again")
        await world.see_all()
        await world.later(61)
        assert verdict(world, "train") == ("Failed", "DeadlineExceeded")
        worker = world.job_controller.workers.get(("team-a", "train"))
        assert worker is not None
        assert worker.timer is not None, "nothing else wakes the MLJob"
        await world.later(11)
        assert condition(world, "train", "Reconciling") == "True"
        await apply(world, "data")
        await end(world, "data")
        assert [run.conf for run in runs_of(world, "train")] == [OUTPUTS]

    async def test_deadline_says_what_it_waited_for(self, world: World) -> None:
        await apply(world, "train", "data", preRunningDeadlineSeconds=60)
        await world.later(61)
        assert "MLJob data (spec.confFrom[0].outputsRef) does not exist" in message(world, "train")

    async def test_outputs_are_not_taken_for_secrets_after_a_restart(self, world: World) -> None:
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        sources = [{"secretRef": {"name": "warehouse"}}, {"outputsRef": {"name": "data"}}]
        await apply(world, "data")
        await apply(world, "train", confFrom=sources)
        await end(world, "data")
        await world.restart()
        await end(world, "train", {"source": "digits with hunter2"})
        assert status(world, "train").outputs == {"source": "digits with ***"}


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
