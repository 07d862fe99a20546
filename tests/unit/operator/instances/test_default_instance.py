from __future__ import annotations

from mljob_contract.mljob import Phase
from tests.unit.operator.conftest import World

from .conftest import Platform


async def test_mljob_without_a_default_instance_waits_and_says_what_to_do(world: Platform) -> None:
    await world.apply()
    assert world.says == (Phase.PENDING, "NoDefaultAirflow")
    assert "is-default-instance" in world.message
    assert not world.has_finalizer, "it can go at any time"
    world.instance_objects.annotate("staging", default=True)
    await world.see_all()
    assert world.status.airflow_instance == "staging"


async def test_active_run_stays_where_it_is_when_the_default_changes(world: Platform) -> None:
    world.instance_objects.annotate("prod", default=True)
    await world.see_all()
    await world.apply()
    world.instance_objects.annotate("prod", default=False)
    world.instance_objects.annotate("staging", default=True)
    await world.see_all()
    await world.restart()
    await world.end(world.prod)
    assert (world.status.phase, world.status.airflow_instance) == (Phase.SUCCEEDED, "prod")
    assert not world.staging.runs


async def test_newest_of_two_defaults_is_used_and_both_report_the_conflict(world: Platform) -> None:
    await world.add_instance("newer", default=True, at="2026-02-01T00:00:00Z")
    world.instance_objects.annotate("prod", default=True)
    await world.see_all()
    await world.look_after("prod", "newer")
    await world.apply()
    assert world.status.airflow_instance == "newer"
    assert world.instance_says("prod", "DefaultInstance")[:2] == ("False", "SeveralDefaults")
    assert world.instance_says("newer", "DefaultInstance")[:2] == ("True", "SeveralDefaults")
    assert {name for name, notice in world.instance_objects.kube_events if notice.reason == "SeveralDefaults"} == {
        "prod",
        "newer",
    }


async def test_new_default_makes_the_other_default_report_the_conflict_early(world: Platform) -> None:
    world.instance_objects.annotate("prod", default=True)
    await world.see_all()
    prod = world.registry.find("prod")
    assert prod is not None
    prod.probe_requested.clear()
    await world.add_instance("newer", default=True, at="2026-02-01T00:00:00Z")
    assert prod.probe_requested.is_set()


async def test_airflow_of_the_settings_is_the_default_until_an_instance_is() -> None:
    world = World()
    await world.apply()
    assert world.airflow.only_run()
    assert world.status.airflow_instance is None
    await world.add_instance("prod", default=True)
    world.jobs.create("second", {"dagId": "train"})
    await world.see_all()
    assert world.jobs.objects["team-a", "second"]["status"]["airflowInstance"] == "prod"
    assert len(world.airflow.runs) == 1
    await world.job_controller.close()


async def test_mljobs_report_that_their_airflow_was_removed_from_the_settings() -> None:
    world = World()
    await world.apply()
    world.has_own_airflow = False
    await world.restart()
    assert (world.status.phase, world.status.reason) == (Phase.QUEUED, "AirflowInstanceNotFound")
    assert "MLJOB_AIRFLOW_URL" in world.message
    world.has_own_airflow = True
    await world.restart()
    await world.look()
    assert world.status.reason == "Queued"
    await world.job_controller.close()
