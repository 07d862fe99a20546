"""The log of a running task goes on after the position of a token, in each version of Airflow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.core.run.log_lines import HEADER
from mljob_operator.core.run.states import TaskState
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow_http import AirflowApi, AirflowServer
from tests.fakes.logins import login
from tests.fakes.meter import SilentMeter


async def read(airflow: Airflow, run_id: str, token: str | None) -> tuple[list[str], str | None]:
    """The events from a token on, and the next token."""
    log = await airflow.open_log("train", run_id, ("fit", -1), 1, token)
    assert log is not None
    found: list[str] = []
    while (entries := await log.read(lambda entry: entry.event)) is not None:
        found += entries
    return found, log.token


@pytest.mark.parametrize("version", ["3.1.8", "3.2.0", "3.3.2"])
async def test_each_entry_comes_once(version: str) -> None:
    fake = FakeAirflow(lambda: datetime.now(UTC))
    fake.version = version
    run = fake.queue("train", "mljob.team-a.churn.abcdefghij-1", {})
    fake.begin(run)
    fake.set_task(run, "fit", TaskState.RUNNING)
    fake.write(run, "fit", "one", "two")
    with AirflowServer(AirflowApi(fake, user="operator", password="right")) as server:
        airflow = Airflow(
            "", server.url, SilentMeter(), login("operator", "right"), prefix="mljob", cancel_dag_id="mljob_cancel"
        )
        first, token = await read(airflow, run.run_id, None)
        assert first[0] == HEADER
        assert first[-2:] == ["one", "two"]
        nothing, token = await read(airflow, run.run_id, token)
        assert nothing == []
        fake.write(run, "fit", "three", "one")
        third, token = await read(airflow, run.run_id, token)
        assert third == ["three", "one"]
        fake.write(run, "fit", "four")
        fake.set_task(run, "fit", TaskState.SUCCESS)
        assert await read(airflow, run.run_id, token) == (["four"], None)
        await airflow.close()
