"""MLJobs of one DAG share the params that were read from Airflow a moment ago."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.mljob.recent_params import KEPT_FOR, MAX_KEPT, RecentParams
from tests.fakes.airflow import FakeAirflow
from tests.fakes.clock import FakeClock
from tests.live.eventually import until

from . import chains
from .conftest import World

EPOCHS = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
RATE = {"rate": {"value": 0.1, "schema": {"type": "number"}}}


def reads(world: World) -> int:
    return world.airflow.calls.count("params")


async def apply(world: World, name: str, **conf: Any) -> None:
    await chains.apply(world, name, conf=conf)


async def test_mljobs_of_one_dag_share_its_params(world: World) -> None:
    world.airflow.dag_params["train"] = EPOCHS
    for number in range(10):
        await apply(world, f"job-{number}", epochs=number)
    assert len(world.airflow.runs) == 10
    assert reads(world) == 1

    world.clock.tick(KEPT_FOR.total_seconds())
    await apply(world, "later", epochs=5)
    assert reads(world) == 2


async def test_each_dag_has_its_own_params(world: World) -> None:
    world.airflow.dag_params |= {"train": EPOCHS, "predict": RATE}
    await apply(world, "train", epochs=1)
    await chains.apply(world, "predict", dagId="predict", conf={"rate": "high"})
    assert chains.verdict(world, "predict")[1] == "ValidationFailed"


async def test_conf_that_fits_the_changed_params_is_accepted_at_once(world: World) -> None:
    world.airflow.dag_params["train"] = EPOCHS
    await apply(world, "before", epochs=1)
    world.airflow.dag_params["train"] = {"epochs": {"value": "few", "schema": {"type": "string"}}, **RATE}

    await apply(world, "after", epochs="many", rate=0.5)

    assert chains.runs_of(world, "after")[0].conf == {"epochs": "many", "rate": 0.5}
    assert chains.condition(world, "after", "UnknownParams") is None


async def test_conf_that_does_not_fit_the_changed_params_either_is_refused(world: World) -> None:
    world.airflow.dag_params["train"] = EPOCHS
    await apply(world, "before", epochs=1)
    world.airflow.dag_params["train"] = RATE

    await apply(world, "after", epochs="many", rate="high")

    assert chains.verdict(world, "after")[1] == "ValidationFailed"
    assert "spec.conf.rate" in chains.message(world, "after")
    assert "spec.conf.epochs: 'many' is not" not in chains.message(world, "after"), "epochs is no param any more"


async def test_params_of_a_dag_that_appears_are_read(world: World) -> None:
    await chains.apply(world, "early", dagId="new")
    assert chains.verdict(world, "early") == (Phase.PENDING, "DagNotFound")
    world.airflow.dags["new"] = ("extract",)
    world.airflow.dag_params["new"] = EPOCHS

    await chains.apply(world, "wrong", dagId="new", conf={"epochs": "many"})

    assert chains.verdict(world, "wrong")[1] == "ValidationFailed"


async def test_mljobs_of_a_burst_share_one_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.airflow.dag_params["train"] = EPOCHS
    answer = asyncio.Event()
    params = world.airflow.params

    async def slow(dag_id: str) -> Any:
        await answer.wait()
        return await params(dag_id)

    monkeypatch.setattr(world.airflow, "params", slow)
    for number in range(10):
        world.jobs.create(f"job-{number}", {"dagId": "train", "conf": {"epochs": number}})
    seen = asyncio.create_task(world.see_all())
    await until(lambda: world.job_controller.tasks)
    answer.set()
    await seen

    assert len(world.airflow.runs) == 10
    assert reads(world) == 1


async def test_each_mljob_of_a_burst_gets_the_error(world: World) -> None:
    world.airflow.before["params"] = lambda: world.airflow.down_for.update(params=1)
    for name in ("first", "second"):
        world.jobs.create(name, {"dagId": "train"})
    await world.see_all()
    assert [chains.verdict(world, name)[1] for name in ("first", "second")] == ["AirflowUnavailable"] * 2
    assert reads(world) == 1
    await world.later(60)
    assert len(world.airflow.runs) == 2


async def test_cancelled_reader_does_not_cancel_the_others() -> None:
    clock = FakeClock()
    airflow, params = FakeAirflow(clock), RecentParams(clock)
    airflow.dag_params["train"] = EPOCHS
    first, second = (asyncio.create_task(params.read(airflow, "train")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == EPOCHS
    assert first.cancelled()


async def test_clock_that_is_set_back_keeps_no_params_longer() -> None:
    clock = FakeClock()
    airflow, params = FakeAirflow(clock), RecentParams(clock)
    await params.read(airflow, "train")
    clock.at -= timedelta(hours=1)
    assert params.of(airflow, "train") is None


async def test_number_of_dags_whose_params_are_kept_is_bounded() -> None:
    clock = FakeClock()
    airflow, params = FakeAirflow(clock), RecentParams(clock)
    names = [f"dag-{number}" for number in range(MAX_KEPT + 1)]
    for name in names:
        airflow.dags[name] = ("extract",)
        await params.read(airflow, name)
    await params.read(airflow, names[1])
    assert [name for name in names if params.of(airflow, name) is None] == [names[0]]
