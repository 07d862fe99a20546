"""Fixtures that several modules of integration tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.walk.airflow import WalkAirflow, walk_airflow


@pytest.fixture
def simulated_airflow() -> Iterator[WalkAirflow]:
    """A running server that simulates Airflow's REST API. Each test gets a new server."""
    with walk_airflow() as airflow:
        yield airflow
