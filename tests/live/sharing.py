"""How live tests share one stack when several workers of pytest-xdist run them: ``pytest -m live -n 3 --dist loadfile``.

The tests of a file stay together, since they share MLJobs that a fixture has made, and so do files that use the same part of Airflow. A file that
is marked ``disruptive`` takes something away from all (Kafka, Airflow's api-server, the cancellation DAG), so it runs while no other live
test does: a lock is held shared by the worker of every other file and exclusively by the worker of a disruptive one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    # The operator of that file looks after every AirflowInstance of the cluster.
    "tests/contract/test_instance_store.py": "tests/e2e/test_instances.py",
    "tests/e2e/test_tenancy.py": "tests/e2e/test_instances.py",
    # That file unpauses a DAG whose runs are to stay queued in this one.
    "tests/contract/test_dag_runs.py": "tests/e2e/test_submission.py",
}
ORDER = (
    "tests/e2e/test_crashes.py",
    "tests/e2e/test_instances.py",
    "tests/e2e/test_backfill.py",
    "tests/e2e/test_examples.py",
    "tests/e2e/test_parity.py",
    "tests/e2e/test_monitoring.py",
    "tests/e2e/test_attempts.py",
    "tests/e2e/test_events.py",
)
"""The files that take longest, which begin first, so that no worker is left alone with one of them."""

_held: list[IO[str]] = []
"""The lock that this worker holds, if any."""


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
    """Tests in the sequence in which they are to begin: disruptive ones last, since they wait for all others."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        first = group(item.nodeid)
        return _is_disruptive(item), ORDER.index(first) if first in ORDER else len(ORDER)

    return sorted(items, key=place)


def enter(item: pytest.Item, directory: Path) -> None:
    """Wait until the tests that run beside this one allow it to run."""
    if not _held:
        lock = directory.with_name(f"{directory.name}.sharing.lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX if _is_disruptive(item) else fcntl.LOCK_SH)
        _held.append(lock)


def leave(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let others run where this was the last test of its group."""
    if _held and (nextitem is None or group(nextitem.nodeid) != group(item.nodeid)):
        _held.pop().close()


def group(nodeid: str) -> str:
    """The file of the tests that a test stays together with."""
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


def _is_disruptive(item: pytest.Item) -> bool:
    return item.get_closest_marker("disruptive") is not None
