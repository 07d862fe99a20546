from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.walk.airflow import WalkAirflow, walk_airflow


@pytest.fixture
def simulated_airflow() -> Iterator[WalkAirflow]:
    with walk_airflow() as airflow:
        yield airflow
