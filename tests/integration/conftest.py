"""Fixtures of several integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.walk.airflow import WalkAirflow, walk_airflow


@pytest.fixture
def simulated_airflow() -> Iterator[WalkAirflow]:
    """A simulated Airflow, a new one for each test."""
    with walk_airflow() as airflow:
        yield airflow
