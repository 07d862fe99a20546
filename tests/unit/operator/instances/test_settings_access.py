"""The access rules in the operator's settings, and the reserved DAGs, which no MLJob may name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mljob_contract.airflow_instance import AccessRule
from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.fakes.airflow import CANCEL_DAG
from tests.unit.operator.conftest import KEY, World

GOLD = {"namespaceSelector": {"matchLabels": {"tier": "gold"}}}
TEAM_A = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}}


@asynccontextmanager
async def new_world(access: list[dict[str, Any]] | None = None, **settings: Any) -> AsyncIterator[World]:
    rules = [AccessRule.model_validate(rule) for rule in access] if access is not None else None
    kind = type("Set", (World,), {"own_access": rules, **settings})
    world: World = kind()
    yield world
    await world.job_controller.close()


def said(world: World) -> tuple[Phase | None, str | None]:
    return world.status.phase, world.status.reason


async def test_airflow_of_the_settings_is_open_when_there_are_no_rules_and_no_instances() -> None:
    async with new_world() as world:
        await world.apply()
        assert world.airflow.only_run()


async def test_an_airflow_instance_closes_the_airflow_of_the_settings_until_a_rule_opens_it() -> None:
    async with new_world() as world:
        await world.add_instance("prod", default=True, access=[GOLD])
        world.instance_objects.annotate("prod", default=False)
        await world.apply()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        assert world.condition("Stalled") == "True"
        assert "airflow.access of the operator's chart (MLJOB_AIRFLOW_ACCESS)" in world.message
        assert not world.has_finalizer
        assert not world.airflow.runs


async def test_active_run_continues_and_the_next_run_is_refused() -> None:
    async with new_world() as world:
        await world.apply(backoffLimit=1)
        await world.add_instance("prod")
        await world.restart()
        assert said(world) == (Phase.QUEUED, "Queued")
        world.airflow.end(world.airflow.only_run(), RunState.FAILED)
        await world.look()
        await world.later(11)
        assert said(world) == (Phase.PENDING, "ValidationFailed")


async def test_airflow_of_the_settings_opens_again_when_the_last_instance_is_removed() -> None:
    async with new_world() as world:
        await world.add_instance("prod")
        await world.apply()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        uid = world.instance_objects.objects.pop("prod")["metadata"]["uid"]
        world.instances.observe_deletion("prod", uid)
        await world.settle()
        assert world.airflow.only_run()


async def test_rules_of_the_settings_select_namespaces_by_label() -> None:
    async with new_world([GOLD]) as world:
        await world.apply()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        world.instance_objects.labels["team-a"]["tier"] = "gold"
        await world.see_all()
        assert world.airflow.only_run()


async def test_rules_select_namespaces_by_name_when_namespaces_are_not_watched() -> None:
    async with new_world([GOLD], watches_namespaces=False) as world:
        world.jobs.create(KEY[1], {"dagId": "train"})
        async for job in world.jobs.list():
            world.job_controller.observe(job)
        await world.settle()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        assert "does not watch namespaces" in world.message
    async with new_world([GOLD, TEAM_A], watches_namespaces=False) as world:
        world.jobs.create(KEY[1], {"dagId": "train"})
        async for job in world.jobs.list():
            world.job_controller.observe(job)
        await world.settle()
        assert world.airflow.only_run()


async def test_rule_of_the_settings_limits_active_runs() -> None:
    async with new_world([{"maxActiveRuns": 1}]) as world:
        for name in ("first", "second"):
            world.jobs.create(name, {"dagId": "train"})
        await world.see_all()
        assert len(world.airflow.runs) == 1
        waiting = world.jobs.objects["team-a", "second"]["status"]
        assert waiting["reason"] == "ConcurrencyLimit"
        assert "airflow.access[0].maxActiveRuns (1)" in waiting["message"]


async def test_no_run_is_submitted_before_all_mljobs_are_listed() -> None:
    async with new_world([{"maxActiveRuns": 1}]) as world:
        world.jobs.create("second", {"dagId": "train"})
        await world.see_all()
        await world.job_controller.close()
        world.start()
        world.jobs.create("first", {"dagId": "train"}, at="2025-01-01T00:00:00Z")
        with world.job_controller.workers.hold_steps():
            for name in ("first", "second"):
                job = await world.jobs.get(("team-a", name))
                assert job is not None
                world.job_controller.observe(job)
                await world.settle()
        await world.settle()
        assert len(world.airflow.runs) == 1


# Reserved DAGs


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="once"),
        pytest.param({"runPolicy": "OncePerSpec"}, id="once per spec"),
        pytest.param({"runPolicy": "OnChange"}, id="on change"),
        pytest.param(
            {"type": "Backfill", "backfill": {"from": "2025-12-01T00:00:00Z", "to": "2025-12-02T00:00:00Z"}},
            id="backfill",
        ),
    ],
)
@pytest.mark.parametrize("dag_id", ["mljob_cancel", "mljob_monitor", "ops_restore"])
async def test_reserved_dag_is_refused(dag_id: str, spec: dict[str, Any]) -> None:
    async with new_world(reserved=["ops_*"]) as world:
        world.airflow.dags[dag_id] = ("work",)
        world.airflow.daily.add(dag_id)
        await world.apply(**{**spec, "dagId": dag_id, "conf": {"dag_id": "train", "dag_run_id": "somebody-elses"}})
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        assert "reserved" in world.message
        assert world.condition("Stalled") == "True"
        assert not world.has_finalizer
        assert world.airflow.calls == []
        await world.edit(dagId="train" if "type" not in spec else "days")
        # With OncePerSpec, the operator asks Airflow twice for the runs of the spec.
        await world.later(3)
        assert world.status.phase is Phase.QUEUED


async def test_operator_may_run_the_cancellation_dag() -> None:
    async with new_world() as world:
        await world.apply()
        await world.edit(cancel=True)
        assert world.airflow.only_run(CANCEL_DAG)


async def test_edit_to_a_reserved_dag_submits_nothing_and_keeps_the_run() -> None:
    async with new_world() as world:
        await world.apply()
        await world.edit(dagId=CANCEL_DAG)
        assert world.condition("SpecApplied") == "False"
        assert not [run for run in world.airflow.runs.values() if run.dag_id == CANCEL_DAG]
