from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.e2e.cancellation import Work
from tests.live.airflow import AirflowRest
from tests.live.airflow_instances import Platform, platform_of
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl


@pytest.fixture
def work(tmp_path: Path, airflow: AirflowRest) -> Iterator[Work]:
    work = Work(tmp_path, airflow)
    yield work
    work.end()


@pytest.fixture(scope="module")
def platform(instances: Installation, kubectl: Kubectl, stack: Stack) -> Iterator[Platform]:
    """A platform engineer who creates AirflowInstances. The test module's fixture ``instances``
    runs the operator that reconciles the AirflowInstances.
    """
    with platform_of(instances, kubectl, stack) as platform:
        yield platform
    # This operator would also reconcile the AirflowInstances of other tests.
    instances.operator.stop()
