"""Assigns the live tests to the workers of pytest-xdist, which share one stack: ``pytest -m "live
and not disruptive" -n 4 --dist loadfile``.

All tests of one file run in the same worker. Files whose tests would disturb each other also run in
the same worker (``TOGETHER``). Tests marked ``disruptive`` run in another session, without workers.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    # The operator of test_instances.py handles every AirflowInstance of the cluster.
    "tests/contract/test_instance_store.py": "tests/e2e/test_instances.py",
    "tests/e2e/test_tenancy.py": "tests/e2e/test_instances.py",
    "tests/e2e/test_gateways.py": "tests/e2e/test_instances.py",
    "tests/integration/test_instance_walk.py": "tests/e2e/test_instances.py",
    # test_submission.py unpauses a DAG whose runs have to stay queued in test_dag_runs.py.
    "tests/contract/test_dag_runs.py": "tests/e2e/test_submission.py",
    # This test pauses the cancellation DAG. With the oldest Airflow, the test runs in one session
    # with the other tests.
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
    "tests/e2e/test_docs.py",
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
"""The order in which the files of tests start. The files that take longest come first, so that all
workers end at about the same time. Files that are not in this list come last.

The crash matrix (test_crashes.py) keeps a processor busy, so it starts beside files that mostly
wait. The list has one file of unit tests, because these tests wait for processes.
"""


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """A scheduler for pytest-xdist. Tests with the same :func:`group` run in the same worker."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def scheduling(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Return the scheduler for the hook ``pytest_xdist_make_scheduler``. Return None without the
    option ``--dist loadfile``, so that pytest-xdist chooses the scheduler.
    """
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def own_name(name: str) -> str:
    """Return a name that no other worker uses: ``name`` followed by the id of this worker. Without
    workers, return ``name``.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"{name}-{worker}" if worker else name


def arranged(items: list[pytest.Item]) -> list[pytest.Item]:
    def place(item: pytest.Item) -> int:
        first = group(item.nodeid)
        return ORDER.index(first) if first in ORDER else len(ORDER)

    return sorted(items, key=place)


def group(nodeid: str) -> str:
    """Return the group of a test. The group is the path that ``TOGETHER`` has for the test's file,
    or else the path of the test's file. All tests of one group run in the same worker.
    """
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)
