"""The Airflow of the operator's settings has no AirflowInstance whose status says whether the
Airflow is ready. A metric and the log say this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.controllers.airflow_instance.own_probe import OwnProbe
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from tests.fakes.meter import SilentMeter
from tests.unit.operator.conftest import World


class Meter(SilentMeter):
    def __init__(self) -> None:
        super().__init__()
        self.ready: dict[str, bool | None] = {}
        self.told = asyncio.Event()

    def airflow_ready(self, airflow: str, ready: bool | None) -> None:
        self.ready[airflow] = ready
        self.told.set()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.meter = Meter()
    world.start()
    yield world
    await world.close()


def probe_of(world: World) -> OwnProbe:
    assert world.parts.own_probe is not None
    return world.parts.own_probe


def readiness(world: World) -> dict[str, bool | None]:
    assert isinstance(world.meter, Meter)
    return world.meter.ready


async def test_readiness_is_probed_and_each_cause_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    probe = probe_of(world)
    assert await probe.probe() is None
    assert readiness(world) == {SETTINGS_AIRFLOW: True}
    world.airflow.locked = True
    for _ in range(2):
        assert await probe.probe() == "AirflowUnauthorized"
    assert readiness(world) == {SETTINGS_AIRFLOW: False}
    world.airflow.locked = False
    assert await probe.probe() is None
    assert readiness(world) == {SETTINGS_AIRFLOW: True}
    assert [record.getMessage() for record in caplog.records] == [
        "the Airflow of the settings is not ready: AirflowUnauthorized: Airflow refused the login",
        "the Airflow of the settings is ready again",
    ]


async def test_airflow_whose_runs_have_vanished_is_not_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probe_of(world)
    monkeypatch.setattr(probe, "_vanished", lambda: True)
    assert await probe.probe() is None
    assert readiness(world) == {SETTINGS_AIRFLOW: False}


async def test_mljobs_go_on_when_airflow_answers_again(world: World) -> None:
    probe = probe_of(world)
    world.airflow.down = True
    await world.apply()
    assert (world.status.phase, world.status.reason) == (Phase.PENDING, "AirflowUnavailable")
    await probe.probe()
    world.airflow.down = False
    world.job_controller.early_pass(SETTINGS_AIRFLOW).clear()
    assert world.airflow.resumed == 0
    # The clock stands still, so no backoff ends.
    await probe.probe()
    await world.settle()
    assert world.airflow.resumed == 1
    assert len(world.airflow.runs) == 1
    assert world.job_controller.early_pass(SETTINGS_AIRFLOW).is_set(), "the changes of other runs are read now"


async def test_failed_request_requests_a_probe(world: World) -> None:
    world.airflow.down = True
    assert not world.registry.own_probe_requested.is_set()
    await world.apply()
    assert world.registry.own_probe_requested.is_set()


async def test_operator_probes_the_airflow_of_its_settings() -> None:
    class WithoutKafka(World):
        brokers = None

    world, meter = WithoutKafka(), Meter()
    world.meter = meter
    world.start()
    world.parts.start()
    await meter.told.wait()
    await world.close()
    assert meter.ready == {SETTINGS_AIRFLOW: True}
