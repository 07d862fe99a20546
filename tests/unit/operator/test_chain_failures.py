"""Failures in a chain of MLJobs that take each other's outputs."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.core.run.states import RunState

from .chains import FAILED, OUTPUTS, WAITING, apply, condition, delete, edit, end, message, runs_of, status, verdict
from .conftest import World


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
