"""The adapter of Airflow, and a server that says what it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mljob_operator.adapters.airflow.client import Airflow
from tests.fakes import logins
from tests.fakes.meter import SilentMeter
from tests.scripted_airflow import CANCEL_DAG, ScriptedAirflow

SOON = (5.0, 0.2)
"""Seconds to connect, and to wait for an answer that does not come."""

Connect = Callable[..., Airflow]


@pytest.fixture
def server() -> Iterator[ScriptedAirflow]:
    server = ScriptedAirflow()
    yield server
    server.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes adapters, and closes them."""
    made: list[Airflow] = []

    def connect(server: ScriptedAirflow, **how: Any) -> Airflow:
        login, ca = logins.split(how, user="mljob", password="right")
        made.append(Airflow("prod", server.url, SilentMeter(), login, prefix="mljob", cancel_dag_id=CANCEL_DAG, **ca))
        return made[-1]

    yield connect
    for airflow in made:
        await airflow.close()
