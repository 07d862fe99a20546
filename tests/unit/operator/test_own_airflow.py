"""The Airflow of the operator's settings has no AirflowInstance whose status says whether the
Airflow is ready. A metric and the log say this.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from mljob_operator.controllers.airflow_instance.own_probe import OwnProbe
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from mljob_operator.errors import AirflowUnauthorized
from tests.fakes.airflow import FakeAirflow
from tests.fakes.clock import FakeClock
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
def airflow() -> FakeAirflow:
    return FakeAirflow(FakeClock())


async def test_readiness_is_probed_and_each_cause_is_logged_once(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused() -> None:
        raise AirflowUnauthorized("Airflow refused the login of user 'mljob'.")

    caplog.set_level(logging.INFO)
    meter, vanished = Meter(), [False]
    probe = OwnProbe(airflow, meter, lambda: vanished[0])
    await probe.probe()
    assert meter.ready == {SETTINGS_AIRFLOW: True}
    with monkeypatch.context() as patched:
        patched.setattr(airflow, "probe", refused)
        await probe.probe()
        await probe.probe()
        assert meter.ready == {SETTINGS_AIRFLOW: False}
    await probe.probe()
    assert meter.ready == {SETTINGS_AIRFLOW: True}
    vanished[0] = True
    await probe.probe()
    assert meter.ready == {SETTINGS_AIRFLOW: False}
    assert [record.getMessage() for record in caplog.records] == [
        "the Airflow of the settings is not ready: AirflowUnauthorized: Airflow refused the login of user 'mljob'.",
        "the Airflow of the settings is ready again",
    ]


async def test_operator_probes_the_airflow_of_its_settings(airflow: FakeAirflow) -> None:
    class WithoutKafka(World):
        brokers = None

    world, meter = WithoutKafka(), Meter()
    world.airflow, world.meter = airflow, meter
    world.start()
    world.parts.start()
    await meter.told.wait()
    await world.close()
    assert meter.ready == {SETTINGS_AIRFLOW: True}
