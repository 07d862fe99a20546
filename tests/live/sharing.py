"""How live tests share one stack when several workers of pytest-xdist run them: ``pytest -m "live and not disruptive" -n 4 --dist loadfile``.

The tests of a file stay together, since they share MLJobs that a fixture has made, and so do files that use the same part of Airflow. A file that
is marked ``disruptive`` takes something away from all (Kafka, Airflow's api-server, the cancellation DAG): its tests are for a session without
workers, ``pytest -m "live and disruptive"``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    # The operator of that file looks after every AirflowInstance of the cluster.
    "tests/contract/test_instance_store.py": "tests/e2e/test_instances.py",
    "tests/e2e/test_tenancy.py": "tests/e2e/test_instances.py",
    "tests/e2e/test_gateways.py": "tests/e2e/test_instances.py",
    "tests/integration/test_instance_walk.py": "tests/e2e/test_instances.py",
    # That file unpauses a DAG whose runs are to stay queued in this one.
    "tests/contract/test_dag_runs.py": "tests/e2e/test_submission.py",
    # That file pauses the cancellation DAG, on the oldest Airflow in one session with the others.
    "tests/contract/test_paused_cancellation_dag.py": "tests/e2e/test_submission.py",
    "tests/e2e/test_cancellation.py": "tests/e2e/test_submission.py",
}
ORDER = (
    "tests/unit/startup/test_process.py",
    "tests/e2e/test_crashes.py",
    "tests/e2e/test_instances.py",
    "tests/e2e/test_monitoring.py",
    "tests/e2e/test_backfill.py",
    "tests/e2e/test_examples.py",
    "tests/e2e/test_trust.py",
    "tests/e2e/test_events.py",
    "tests/e2e/test_parity.py",
    "tests/e2e/test_submission.py",
    "tests/integration/test_kafka_connection.py",
    "tests/e2e/test_attempts.py",
    "tests/e2e/test_environments.py",
    "tests/integration/test_mljob_walk.py",
    "tests/e2e/test_people.py",
    "tests/e2e/test_secrets.py",
    "tests/e2e/test_cancellation_dag.py",
    "tests/chart/test_cluster.py",
)
"""The files that take longest, which begin first, so that no worker is left alone with one of them; of the unit tests, those that wait for whole
processes. The crash matrix keeps a processor busy, so it
begins beside files that mostly wait.
"""


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives the files to the workers, one after the other in the sequence in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def scheduling(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """For the hook ``pytest_xdist_make_scheduler``."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one, which reports of them."""
    return hasattr(config, "workerinput")


def own_name(name: str) -> str:
    """A name for something that each worker has one of."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"{name}-{worker}" if worker else name


def arranged(items: list[pytest.Item]) -> list[pytest.Item]:
    """Tests in the sequence in which they are to begin."""

    def place(item: pytest.Item) -> int:
        first = group(item.nodeid)
        return ORDER.index(first) if first in ORDER else len(ORDER)

    return sorted(items, key=place)


def group(nodeid: str) -> str:
    """The file of the tests that a test stays together with."""
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)
