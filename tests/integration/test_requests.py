"""The number of requests to Airflow does not grow with the number of tasks."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import pytest

from tests.conftest import NewInstallation
from tests.e2e.parity import differences
from tests.live.airflow import AirflowRest
from tests.live.installation import Installation
from tests.live.mljobs import Object, manifest

FEED = ("changed_runs", "changed_tasks")
OF_ALL = (*FEED, "probe", "halts")
"""Requests that are made for all runs together."""
MANY = 120
"""More tasks than fit in a page of Airflow's responses."""
BOUND = 600


@dataclass(frozen=True)
class Cost:
    requests: dict[str, float]
    seconds: float
    job: Object

    @property
    def own_requests(self) -> dict[str, float]:
        return {operation: count for operation, count in self.requests.items() if count and operation not in OF_ALL}

    @property
    def of_its_own(self) -> float:
        return sum(self.own_requests.values())


@pytest.fixture(scope="module")
def counted(new_installation: NewInstallation) -> Installation:
    return new_installation("counted")


def run(installation: Installation, name: str, count: int) -> Cost:
    before, started = installation.operator.requests(), time.monotonic()
    installation.jobs.apply(manifest(name, "parity_mapped_many", {"count": count}))
    job = installation.jobs.until_finished(name, within=BOUND)[name]
    seconds, after = time.monotonic() - started, installation.operator.requests()
    return Cost({operation: count - before.get(operation, 0) for operation, count in after.items()}, seconds, job)


@pytest.mark.timeout(2 * BOUND)
def test_run_of_many_tasks_costs_no_more_requests_than_a_run_of_two(
    counted: Installation, airflow: AirflowRest
) -> None:
    few, many = run(counted, "few", 2), run(counted, "many", MANY)

    # The relist lists the runs once a minute, and the change feed is read at most once a second.
    minutes = many.seconds / 60
    assert many.of_its_own <= few.of_its_own + 2 * minutes + 2, (few.own_requests, many.own_requests)
    assert many.requests["tasks"] <= few.requests["tasks"] + 1
    for operation in FEED:
        assert many.requests[operation] <= many.seconds * 1.2 + 2, many.requests

    status = many.job["status"]
    assert status["taskCounts"] == {"total": MANY + 1, "success": MANY + 1}
    assert not differences(status, airflow)
    assert len(json.dumps(status)) < 16 * 1024
