"""Who may run what in the Airflow of the operator's settings, and which DAGs nobody may run anywhere."""

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
    await world.queue.close()


def said(world: World) -> tuple[Phase | None, str | None]:
    return world.status.phase, world.status.reason


async def test_alone_and_without_rules_it_is_everybodys() -> None:
    async with new_world() as world:
        await world.apply()
        assert world.airflow.only_run()


async def test_an_airflowinstance_closes_it_until_a_rule_opens_it() -> None:
    """The case: the default annotation is taken from the only AirflowInstance, and all MLJobs come to the settings' Airflow."""
    async with new_world() as world:
        await world.add_instance("prod", default=True, access=[GOLD])
        world.instance_objects.annotate("prod", default=False)
        await world.apply()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        assert world.condition("Stalled") == "True"
        assert "airflow.access of the operator's chart (MLJOB_AIRFLOW_ACCESS)" in world.status.message
        assert not world.has_finalizer
        assert not world.airflow.runs


async def test_a_run_in_progress_goes_on_and_the_next_one_is_refused() -> None:
    async with new_world() as world:
        await world.apply(backoffLimit=1)
        await world.add_instance("prod")
        await world.restart()
        assert said(world) == (Phase.QUEUED, "Queued")
        world.airflow.end(world.airflow.only_run(), RunState.FAILED)
        await world.look()
        await world.later(11)
        assert said(world) == (Phase.PENDING, "ValidationFailed")


async def test_it_opens_again_when_the_last_airflowinstance_is_gone() -> None:
    async with new_world() as world:
        await world.add_instance("prod")
        await world.apply()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        uid = world.instance_objects.objects.pop("prod")["metadata"]["uid"]
        world.instances.vanished("prod", uid)
        await world.settle()
        assert world.airflow.only_run()


async def test_its_rules_select_by_labels_as_those_of_an_airflowinstance() -> None:
    async with new_world([GOLD]) as world:
        await world.apply()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        world.instance_objects.labels["team-a"]["tier"] = "gold"
        await world.see_all()
        assert world.airflow.only_run()


async def test_where_namespaces_are_not_watched_rules_know_them_by_name() -> None:
    async with new_world([GOLD], watches_namespaces=False) as world:
        world.jobs.create(KEY[1], {"dagId": "train"})
        async for job in world.jobs.list():
            world.queue.observe(job)
        await world.settle()
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        assert "does not watch namespaces" in world.status.message
    async with new_world([GOLD, TEAM_A], watches_namespaces=False) as world:
        world.jobs.create(KEY[1], {"dagId": "train"})
        async for job in world.jobs.list():
            world.queue.observe(job)
        await world.settle()
        assert world.airflow.only_run()


async def test_a_rule_of_the_settings_bounds_active_runs() -> None:
    async with new_world([{"maxActiveRuns": 1}]) as world:
        for name in ("first", "second"):
            world.jobs.create(name, {"dagId": "train"})
        await world.see_all()
        assert len(world.airflow.runs) == 1
        waiting = world.jobs.objects["team-a", "second"]["status"]
        assert waiting["reason"] == "ConcurrencyLimit"
        assert "airflow.access[0].maxActiveRuns (1)" in waiting["message"]


async def test_nobody_submits_while_it_is_not_known_yet_who_has_a_run() -> None:
    """MLJobs are listed page by page; the one that has the only place may be on the last."""
    async with new_world([{"maxActiveRuns": 1}]) as world:
        world.jobs.create("second", {"dagId": "train"})
        await world.see_all()
        await world.queue.close()
        world.start()
        world.jobs.create("first", {"dagId": "train"}, at="2025-01-01T00:00:00Z")
        with world.queue.held():
            for name in ("first", "second"):
                world.queue.observe(await world.jobs.get(("team-a", name)))
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
async def test_a_reserved_dag_is_not_run(dag_id: str, spec: dict[str, Any]) -> None:
    """Whoever could run the cancellation DAG could end everybody's runs."""
    async with new_world(reserved=["ops_*"]) as world:
        world.airflow.dags[dag_id] = ("work",)
        world.airflow.daily.add(dag_id)
        await world.apply(**{**spec, "dagId": dag_id, "conf": {"dag_id": "train", "dag_run_id": "somebody-elses"}})
        assert said(world) == (Phase.PENDING, "ValidationFailed")
        assert "reserved" in world.status.message
        assert world.condition("Stalled") == "True"
        assert not world.has_finalizer
        assert world.airflow.calls == []
        await world.edit(dagId="train" if "type" not in spec else "days")
        # With OncePerSpec, Airflow is asked twice which runs of the spec there are.
        await world.later(3)
        assert world.status.phase is Phase.QUEUED


async def test_the_operator_itself_runs_the_cancellation_dag() -> None:
    async with new_world() as world:
        await world.apply()
        await world.edit(cancel=True)
        assert world.airflow.only_run(CANCEL_DAG)


async def test_an_edit_to_a_reserved_dag_starts_nothing_and_leaves_the_run_alone() -> None:
    async with new_world() as world:
        await world.apply()
        await world.edit(dagId=CANCEL_DAG)
        assert world.condition("SpecApplied") == "False"
        assert not [run for run in world.airflow.runs.values() if run.dag_id == CANCEL_DAG]
