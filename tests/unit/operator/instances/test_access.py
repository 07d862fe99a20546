from __future__ import annotations

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState

from .conftest import Platform

RULES = [
    {"namespaceSelector": {"matchLabels": {"tier": "gold"}}, "dags": ["train*"]},
    {"namespaceSelector": {"matchLabels": {"tier": "silver"}}, "dags": ["predict"]},
]


async def test_mljob_is_refused_until_its_namespace_has_the_label_of_a_rule(world: Platform) -> None:
    world.instance_objects.edit("prod", {"access": RULES})
    await world.see_all()
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "ValidationFailed")
    assert world.condition("Stalled") == "True"
    assert "labels: kubernetes.io/metadata.name=team-a" in world.message
    assert "dags: [train]" in world.message
    assert "ValidationFailed" in world.event_reasons
    assert not world.has_finalizer
    world.instance_objects.labels["team-a"]["tier"] = "gold"
    await world.see_all()
    assert world.status.phase is Phase.QUEUED
    assert world.condition("Stalled") == "False"


async def test_added_rule_admits_a_waiting_mljob(world: Platform) -> None:
    world.instance_objects.edit("prod", {"access": RULES})
    await world.see_all()
    await world.run_in("prod")
    world.instance_objects.edit("prod", {"access": [*RULES, {"dags": ["train"]}]})
    await world.see_all()
    assert world.status.phase is Phase.QUEUED


async def test_mljob_is_admitted_when_it_names_an_allowed_dag(world: Platform) -> None:
    world.instance_objects.labels["team-a"]["tier"] = "silver"
    world.instance_objects.edit("prod", {"access": RULES})
    world.prod.dags["predict"] = ("score",)
    await world.see_all()
    await world.run_in("prod")
    assert world.says == (Phase.PENDING, "ValidationFailed")
    await world.edit(dagId="predict")
    assert world.prod.only_run("predict")


async def test_removed_rule_keeps_the_active_run_and_refuses_its_retry(world: Platform) -> None:
    await world.run_in("prod", backoffLimit=1)
    world.instance_objects.edit("prod", {"access": RULES})
    await world.see_all()
    assert world.status.phase is Phase.QUEUED
    await world.end(world.prod, RunState.FAILED)
    await world.later(11)
    assert world.says == (Phase.PENDING, "ValidationFailed")


async def test_namespace_that_is_not_known_yet_is_not_refused(world: Platform) -> None:
    world.instance_objects.edit("prod", {"access": [{"namespaceSelector": {"matchLabels": {"tier": "gold"}}}]})
    await world.see_all()
    world.jobs.create("early", {"dagId": "train", "airflowRef": {"name": "prod"}}, namespace="new")
    await world.see_all()
    assert world.jobs.objects["new", "early"]["status"]["reason"] == "Submitting"
    world.instance_objects.labels["new"] = {"tier": "gold"}
    await world.see_all()
    assert world.jobs.objects["new", "early"]["status"]["phase"] == "Queued"


async def test_misspelt_dag_id_suggests_only_dags_that_the_namespace_may_run(world: Platform) -> None:
    world.prod.dags |= {"train_digits": ("fit",), "train_digit_x": ("fit",)}
    world.instance_objects.edit("prod", {"access": [{"dags": ["train_digit", "train_digits"]}]})
    await world.see_all()
    await world.run_in("prod", dagId="train_digit")
    assert world.says == (Phase.PENDING, "DagNotFound")
    assert world.message.endswith("Did you mean train_digits?")
