from __future__ import annotations

from mljob_contract.mljob import MLJobSpec, Phase
from mljob_operator.core.mljob.resource.spec import spec_hash
from mljob_operator.core.run.states import RunState

from .conftest import Platform


async def test_mljob_runs_in_the_airflow_of_its_airflow_ref(world: Platform) -> None:
    await world.run_in("staging")
    assert world.status.airflow_instance == "staging"
    assert (world.status.dag_run_url or "").startswith("http://staging:8080/dags/train/runs/")
    assert (len(world.prod.runs), len(world.staging.runs)) == (0, 1)


async def test_status_comes_from_the_airflow_of_the_run(world: Platform) -> None:
    await world.run_in("staging")
    await world.end(world.staging)
    assert world.status.phase is Phase.SUCCEEDED
    assert "tasks" not in world.prod.calls


async def test_mljob_waits_for_an_airflow_instance_that_does_not_exist(world: Platform) -> None:
    await world.run_in("test")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotFound")
    assert not world.has_finalizer
    await world.add_instance("test")
    assert world.status.airflow_instance == "test"


async def test_earlier_refusal_does_not_stall_an_mljob_that_waits_for_its_airflow(world: Platform) -> None:
    world.prod.required["train"] = ("count",)
    await world.run_in("prod")
    assert (world.says, world.condition("Stalled")) == ((Phase.PENDING, "ValidationFailed"), "True")
    await world.edit(airflowRef={"name": "test"})
    assert world.says == (Phase.PENDING, "AirflowInstanceNotFound")
    assert (world.condition("Reconciling"), world.condition("Stalled")) == ("True", "False")


# A changed airflowRef


async def test_on_change_cancels_the_run_in_the_old_airflow_and_submits_in_the_new_one(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OnChange", cancellation={"strategy": "Api"})
    await world.edit(airflowRef={"name": "staging"})
    await world.look_everywhere()
    assert world.prod.only_run().state is RunState.FAILED
    assert world.staging.only_run().state is RunState.QUEUED
    assert (world.status.airflow_instance, world.status.attempts) == ("staging", 2)
    assert [entry.airflow_instance for entry in world.status.history or ()] == ["prod"]


async def test_once_refuses_the_change_and_keeps_following_the_run(world: Platform) -> None:
    await world.run_in("prod")
    await world.edit(airflowRef={"name": "staging"})
    assert world.condition("SpecApplied") == "False"
    await world.restart()
    await world.end(world.prod)
    assert (world.status.phase, world.status.airflow_instance) == (Phase.SUCCEEDED, "prod")
    assert not world.staging.runs


async def test_once_retries_in_the_old_airflow(world: Platform) -> None:
    await world.run_in("prod", backoffLimit=1, retryStrategy="NewRun")
    await world.edit(airflowRef={"name": "staging"})
    await world.end(world.prod, RunState.FAILED)
    await world.later(11)
    assert len(world.prod.runs) == 2
    assert not world.staging.runs


async def test_once_per_spec_submits_a_changed_spec_to_the_new_airflow(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OncePerSpec", cancellation={"strategy": "Api"})
    await world.later(3)
    first = world.status.dag_run_id
    await world.edit(airflowRef={"name": "staging"})
    await world.look_everywhere()
    await world.later(3)
    assert world.staging.only_run().run_id == world.status.dag_run_id != first


async def test_mljob_that_waits_for_an_unreachable_airflow_can_move_to_another(world: Platform) -> None:
    world.prod.down = True
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "AirflowUnavailable")
    await world.edit(airflowRef={"name": "staging"})
    assert world.status.airflow_instance == "staging"
    assert world.status.phase is Phase.QUEUED
    world.prod.down = False
    assert not world.prod.runs


async def test_first_airflow_is_asked_for_a_possible_run_before_the_mljob_moves(world: Platform) -> None:
    world.prod.lose_answers = 1
    await world.run_in("prod")
    world.prod.down = True
    await world.edit(airflowRef={"name": "staging"})
    await world.later(40)
    assert not world.staging.runs
    world.prod.down = False
    await world.later(15)
    assert world.status.airflow_instance == "prod"
    assert not world.staging.runs


def test_spec_without_airflow_ref_keeps_its_hash() -> None:
    assert spec_hash(MLJobSpec.model_validate({"dagId": "train", "conf": {"a": 1}})) == "sjtzyfbgop"


async def test_finished_mljob_waits_for_the_airflow_of_its_new_spec(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OnChange")
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED
    await world.edit(airflowRef={"name": "test"})
    assert (world.status.phase, world.condition("SpecApplied")) == (Phase.SUCCEEDED, "False")
    test = await world.add_instance("test")
    assert (world.status.airflow_instance, world.status.attempts) == ("test", 2)
    await world.end(test)
    assert world.status.phase is Phase.SUCCEEDED
