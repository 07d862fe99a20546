"""Functions for tests that play a fixed scenario with one MLJob in the simulated world of
:mod:`tests.simulation.world`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mljob_operator.core.run.run_key import Key
from tests.fakes.airflow import FakeRun
from tests.simulation.airflow import active
from tests.simulation.world import World

KEY: Key = ("team-a", "churn")


@contextmanager
def simulation() -> Iterator[World]:
    """Yield a world with one operator that has been running for a second. If the ``with`` block
    ends without an error, assert that the operator has logged no error. Also assert that the
    operator has kept all promises that the world checks (:meth:`.World.look`).
    """
    world = World()
    try:
        world.run(1)
        yield world
        assert not world.broken
    finally:
        world.close()


def apply(world: World, **spec: Any) -> None:
    """Create the MLJob ``KEY`` with DAG ``train`` and these fields of the spec."""
    at = world.airflow_clock().replace(microsecond=0).isoformat()
    world.cluster.create(KEY[1], {"dagId": "train", **spec}, at=at)
    world.look()


def edit(world: World, **spec: Any) -> None:
    """Change fields of the spec of the MLJob ``KEY``."""
    world.cluster.edit(KEY, spec)
    world.look()


def delete(world: World) -> None:
    """Delete the MLJob ``KEY``, as a user does."""
    world.cluster.user_deletes(KEY, world.airflow_clock().replace(microsecond=0))
    world.look()


def dags_at_work(world: World) -> list[str]:
    """Return the DAG ids of the active runs of MLJobs."""
    return [run.dag_id for run in world.airflow.ours() if active(run)]


def run(world: World) -> FakeRun:
    """Return the newest of all runs that the operator has submitted for MLJobs."""
    return world.airflow.ours()[-1]


def version(world: World) -> int:
    """Return how many versions of its content the simulated Kubernetes cluster has had. This is
    also the number of the newest version. Changes of objects make a new version.
    """
    return world.cluster.versions


def go_back_to(world: World, then: int, seconds: float) -> None:
    """For the next ``seconds`` seconds, let all reads from the Kubernetes API return the objects of
    the earlier version ``then`` (see :func:`version`).
    """
    world.fall_behind(version(world) - then, seconds)
