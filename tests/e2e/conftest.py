"""Fixtures that several modules of live tests use."""

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
    """An object that starts MLJobs whose runs stay active (:class:`.Work`). After the test, the
    runs are ended.
    """
    work = Work(tmp_path, airflow)
    yield work
    work.end()


@pytest.fixture(scope="module")
def platform(instances: Installation, kubectl: Kubectl, stack: Stack) -> Iterator[Platform]:
    """An object that creates AirflowInstances (:class:`.Platform`). Each test module defines the
    fixture ``instances``: an operator that manages the AirflowInstances. After the module's tests,
    the AirflowInstances are deleted and this operator is stopped.
    """
    with platform_of(instances, kubectl, stack) as platform:
        yield platform
    # This operator would also reconcile the AirflowInstances of other tests.
    instances.operator.stop()
