from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mljob_operator.adapters.airflow.client import Airflow
from tests.fakes import logins
from tests.fakes.leases import OpenGate
from tests.fakes.meter import SilentMeter
from tests.fakes.oauth2_provider import OAuth2Provider
from tests.scripted_airflow import CANCEL_DAG, ScriptedAirflow

SOON = (5.0, 0.2)
"""Timeouts in seconds of a request that hangs: for the connection, and for the answer."""

Connect = Callable[..., Airflow]


@pytest.fixture
def server() -> Iterator[ScriptedAirflow]:
    server = ScriptedAirflow()
    yield server
    server.close()


@pytest.fixture
def provider() -> Iterator[OAuth2Provider]:
    with OAuth2Provider() as provider:
        yield provider


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    made: list[Airflow] = []

    def connect(server: ScriptedAirflow, **how: Any) -> Airflow:
        login, ca = logins.split(how, user="mljob", password="right")
        made.append(
            Airflow(
                "prod",
                server.url,
                SilentMeter(),
                login,
                prefix="mljob",
                cancel_dag_id=CANCEL_DAG,
                gate=OpenGate(),
                **ca,
            )
        )
        return made[-1]

    yield connect
    for airflow in made:
        await airflow.close()
