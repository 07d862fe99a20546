"""How live tests share one stack when several workers of pytest-xdist run them.

The tests of a file stay together, since they share MLJobs that a fixture has made. A test that is marked ``disruptive`` takes something
away from all (Kafka, Airflow's api-server, the cancellation DAG), so it runs while no other live test does: a file lock is held shared by the
worker of every other file and exclusively by the worker of a disruptive one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

import pytest

ORDER = ("test_crashes.py", "test_monitoring.py", "test_instances.py", "test_events.py", "test_parity.py")
"""The files that take longest, which begin first, so that no worker is left alone with one of them."""

_held: list[IO[str]] = []
"""The lock that this worker holds, if any."""


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one, which reports of them."""
    return hasattr(config, "workerinput")


def own_name(name: str) -> str:
    """A name for something that each worker has one of."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return f"{name}-{worker}" if worker else name


def arranged(items: list[pytest.Item]) -> list[pytest.Item]:
    """The live tests in the sequence in which they are to begin, each with the group that it stays in."""
    for item in items:
        if item.get_closest_marker("live") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    return sorted(items, key=_place)


def enter(item: pytest.Item, directory: Path) -> None:
    """Wait until the tests that run beside this one allow it to run."""
    if _held:
        return
    lock = directory.with_name(f"{directory.name}.sharing.lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_EX if _is_disruptive(item) else fcntl.LOCK_SH)
    _held.append(lock)


def leave(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let others run where this was the last test of its group."""
    if _held and (nextitem is None or _group(nextitem) != _group(item)):
        _held.pop().close()


def _group(item: pytest.Item) -> str:
    """The tests that stay together, and those of a file that are disruptive apart from the others."""
    given = item.get_closest_marker("xdist_group")
    if given:
        return str(given.args[0])
    return f"{item.path.name}{' (disruptive)' if _is_disruptive(item) else ''}"


def _is_disruptive(item: pytest.Item) -> bool:
    return item.get_closest_marker("disruptive") is not None


def _place(item: pytest.Item) -> tuple[bool, int]:
    """Where a test stands: disruptive ones last, since they wait for all others."""
    name = item.path.name
    return _is_disruptive(item), ORDER.index(name) if name in ORDER else len(ORDER)
