from __future__ import annotations

import pytest

from mljob_contract.mljob import Phase, StatusSource
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.run_key import in_any_of
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.ports import Link
from tests.live.eventually import until
from tests.strategies import event
from tests.unit.operator.conftest import KEY

from .conftest import Platform


async def test_event_reaches_the_mljob_of_its_airflow(world: Platform) -> None:
    await world.run_in("prod")
    await world.look_everywhere()
    meant = in_any_of({"prod"}, "train", world.status.dag_run_id or "")
    world.job_controller.observe_event(KEY, meant, event("extract", TaskState.RUNNING), lambda: None)
    await world.settle()
    assert world.status.current_task == "extract"


async def test_event_of_another_airflow_changes_nothing(world: Platform) -> None:
    await world.run_in("prod")
    run_id = world.status.dag_run_id or ""
    told = RunFact(RunState.RUNNING, StatusSource.KAFKA, world.clock(), world.clock())
    world.job_controller.observe_event(KEY, in_any_of({"staging"}, "train", run_id), told, lambda: world.done.append(1))
    await world.settle()
    assert (world.status.phase, world.status.attempts) == (Phase.QUEUED, 1)
    assert world.done == [1], "it is done with all the same"
    world.job_controller.observe_event(KEY, in_any_of({"prod", "staging"}, "train", run_id), told, lambda: None)
    await world.settle()
    assert world.status.phase is Phase.RUNNING


async def test_run_with_the_same_id_in_another_airflow_changes_nothing(world: Platform) -> None:
    await world.run_in("prod")
    await world.staging.submit("train", world.status.dag_run_id or "", {}, "somebody else's")
    await world.end(world.staging, RunState.FAILED)
    assert world.status.phase is Phase.QUEUED


@pytest.mark.parametrize(
    ("topic", "source", "origins"),
    [
        pytest.param("airflow.events", "prod-source", {"prod"}, id="named"),
        pytest.param("airflow.events", "else", {"staging"}, id="claimed by nobody"),
        pytest.param("airflow.events", None, {"staging"}, id="without a source"),
        pytest.param("other", "prod-source", {"third"}, id="another topic"),
        pytest.param("unknown", "prod-source", set(), id="a topic of nobody"),
    ],
)
async def test_topic_and_source_identify_the_airflow_of_an_event(
    world: Platform, topic: str, source: str | None, origins: set[str]
) -> None:
    world.instance_objects.edit("prod", {"kafka": {"source": "prod-source"}})
    await world.add_instance("third", kafka={"topic": "other"})
    assert world.registry.origins(topic, source) == origins
    assert world.registry.topics() == {"airflow.events", "other"}


async def test_lost_broker_connection_is_reported_by_the_instances_of_that_topic(world: Platform) -> None:
    await world.add_instance("third", kafka={"topic": "other"})
    world.instances.start()
    await until(lambda: world.instance_says("third")[0] == "True")
    for topic in ("airflow.events", "other"):
        world.links.update(topic, Link(True, "kafka:9092"))
    world.links.update("airflow.events", Link(False, "kafka:9092", "Connection refused"))
    await until(lambda: conditions(world, "prod").get("EventsConnected") == "False")
    await until(lambda: conditions(world, "third").get("EventsConnected") == "True")
    assert "Connection refused" in world.instance_says("prod", "EventsConnected")[2]
    assert world.instance_says("prod")[0] == "True", "it is ready all the same"
    assert world.meter.connected == {"airflow.events": False, "other": True}
    world.links.update("airflow.events", Link(True, "kafka:9092"))
    world.links.update("other", None)
    await until(lambda: conditions(world, "prod").get("EventsConnected") == "True")
    assert world.meter.connected == {"airflow.events": True, "other": None}
    await world.close()


def conditions(world: Platform, name: str) -> dict[str, str]:
    return {found.type: str(found.status) for found in world.instance(name).conditions or ()}
