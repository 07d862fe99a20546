from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.errors import AirflowInstanceNotFound, AirflowUnavailable
from mljob_operator.ports import ProbeResult

from ..conftest import KEY
from .conftest import Platform


async def test_instance_in_use_is_kept_until_its_runs_have_ended(world: Platform) -> None:
    await world.run_in("prod")
    world.instance_objects.user_deletes("prod")
    await world.see_all()
    await world.look_after("prod")
    status, reason, message = world.instance_says("prod")
    assert (status, reason) == ("False", "Deleting")
    assert "team-a/churn" in message
    world.jobs.create("late", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    assert world.status_of("late").reason == "AirflowInstanceNotReady"
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED
    await world.instances.reconcile("prod")
    assert "prod" not in world.instance_objects.objects


async def test_mljob_for_an_instance_in_deletion_can_be_deleted_without_an_operator(world: Platform) -> None:
    world.jobs.admission_policy = True
    await world.run_in("prod")
    world.instance_objects.user_deletes("prod")
    await world.see_all()
    world.jobs.create("late", {"dagId": "train", "airflowRef": {"name": "prod"}})
    await world.see_all()
    assert world.status_of("late").reason == "AirflowInstanceNotReady"
    assert not world.jobs.body((KEY[0], "late"))["metadata"]["finalizers"]


async def test_instance_is_not_kept_by_a_finished_mljob_that_waits_to_run_elsewhere(world: Platform) -> None:
    await world.run_in("prod", runPolicy="OncePerSpec")
    await world.later(3)
    await world.end(world.prod)
    world.staging.down = True
    await world.edit(airflowRef={"name": "staging"})
    assert (world.condition("Reconciling"), world.has_finalizer) == ("True", True)
    world.instance_objects.user_deletes("prod")
    await world.see_all()
    await world.instances.reconcile("prod")
    assert "prod" not in world.instance_objects.objects
    world.staging.down = False
    await world.later(15)
    await world.later(3)
    assert (world.status.phase, world.status.airflow_instance) == (Phase.QUEUED, "staging")


async def test_removed_instance_is_not_reconciled_when_the_cancellation_of_its_task_was_lost(
    world: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()

    asked = asyncio.Event()

    async def probe() -> ProbeResult:
        asked.set()
        # As when a wait ends at the moment of the cancellation.
        with suppress(asyncio.CancelledError):
            await gone.wait()
        raise AirflowUnavailable("no answer")

    monkeypatch.setattr(world.prod, "probe", probe)
    world.instances.start()
    (task,) = [task for task in world.instances.tasks if task.get_name() == "AirflowInstance prod"]
    await asked.wait()
    uid = world.instance_objects.objects.pop("prod")["metadata"]["uid"]
    world.instances.observe_deletion("prod", uid)
    await asyncio.wait([task], timeout=60)
    assert task.done()
    assert "unexpected error" not in caplog.text


async def test_instance_used_by_an_mljob_with_a_defect_is_kept(
    world: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.run_in("prod")

    def broken(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(WorkerState, "last_state", broken)
    assert world.job_controller.lister.users("prod") == [KEY]
    assert world.job_controller.lister.users("staging") == []


async def test_unused_instance_is_removed_at_once(world: Platform) -> None:
    world.instance_objects.user_deletes("prod")
    await world.see_all()
    await world.instances.reconcile("prod")
    assert "prod" not in world.instance_objects.objects


async def test_mljobs_report_a_forcibly_removed_instance_and_resume_when_it_is_re_created(world: Platform) -> None:
    await world.run_in("prod")
    url, uid = world.status.dag_run_url, world.instance_objects.objects["prod"]["metadata"]["uid"]
    del world.instance_objects.objects["prod"]
    world.instances.observe_deletion("prod", uid)
    await world.settle()
    assert world.says == (Phase.QUEUED, "AirflowInstanceNotFound")
    assert world.status.dag_run_url == url
    with pytest.raises(AirflowInstanceNotFound):
        world.registry.dag_runs("prod")
    airflow = world.prod
    world.prod = await world.add_instance("prod")
    world.prod.runs = airflow.runs
    await world.end(world.prod)
    assert world.status.phase is Phase.SUCCEEDED


async def test_deletion_of_an_mljob_without_its_instance_waits_only_for_the_timeout(world: Platform) -> None:
    await world.run_in("prod", cancellation={"timeoutSeconds": 60})
    uid = world.instance_objects.objects["prod"]["metadata"]["uid"]
    del world.instance_objects.objects["prod"]
    world.instances.observe_deletion("prod", uid)
    await world.delete()
    await world.later(30)
    assert world.exists
    await world.later(31)
    assert not world.exists
    assert "CancellationAbandoned" in world.event_reasons


@pytest.mark.parametrize("restarted", [False, True], ids=["same-process", "restarted"])
async def test_instance_does_not_wait_for_an_announced_run_that_was_never_created(
    world: Platform, restarted: bool
) -> None:
    world.prod.down_for["submit"] = 1
    await world.run_in("prod")
    assert (world.status.phase, world.status.attempts, world.prod.runs) == (Phase.PENDING, 1, {})
    world.instance_objects.user_deletes("prod")
    if restarted:
        await world.restart()
    else:
        await world.see_all()
    await world.look_after("prod")
    assert world.says == (Phase.PENDING, "AirflowInstanceNotReady")
    await world.later(31)
    await world.later(3)
    await world.instances.reconcile("prod")
    assert "prod" not in world.instance_objects.objects


async def test_instance_waits_for_an_announced_run_whose_creation_was_not_answered(world: Platform) -> None:
    world.prod.lose_answers = 1
    await world.run_in("prod")
    world.instance_objects.user_deletes("prod")
    await world.restart()
    await world.look_after("prod")
    await world.later(31)
    await world.instances.reconcile("prod")
    assert world.status.phase is Phase.QUEUED, "it was found, and is followed"
    assert "prod" in world.instance_objects.objects
    await world.end(world.prod)
    await world.instances.reconcile("prod")
    assert "prod" not in world.instance_objects.objects
