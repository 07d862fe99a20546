"""MLJobs share the params of a DAG only if they use the same server with the same login."""

from __future__ import annotations

from tests.fakes.airflow import FakeAirflow

from .conftest import Platform
from .test_access_credentials import EVERYBODY, OF_TEAM_A, calls, set_up

RATE = {"rate": {"value": 0.1, "schema": {"type": "number"}}}
STRICT = {"epochs": {"value": 3, "schema": {"type": "integer", "x-mljob-additional-params": False}}}
PROD = {"airflowRef": {"name": "prod"}, "conf": {"rate": 0.5}}


async def test_params_of_another_server_are_not_used_after_the_url_changes(world: Platform) -> None:
    world.prod.dag_params["train"] = RATE
    world.jobs.create("first", {"dagId": "train", **PROD})
    await world.see_all()
    moved = world.airflows["http://moved:8080"] = FakeAirflow(world.clock)
    moved.dag_params["train"] = STRICT
    world.instance_objects.edit("prod", {"url": "http://moved:8080"})
    await world.see_all()
    await world.look_after("prod")

    await world.run_in("prod", conf={"rate": 0.5})

    assert world.status.reason == "ValidationFailed"
    assert not [run for run in moved.runs.values() if ".churn." in run.run_id]


async def test_params_are_read_with_the_login_of_the_mljobs_own_access_rule(world: Platform) -> None:
    await set_up(world, OF_TEAM_A, EVERYBODY)
    world.prod.dag_params["train"] = RATE
    world.jobs.create("other", {"dagId": "train", **PROD}, namespace="team-b")
    await world.see_all()

    await world.run_in("prod", conf={"rate": 0.5})

    assert "params" in calls(world)
