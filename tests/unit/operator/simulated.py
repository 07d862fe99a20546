"""Functions for tests with one MLJob in the simulated world of :mod:`tests.simulation.world`."""

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
    """Yield a world with a running operator. At the end, assert that the operator has logged no
    error, and has broken none of the promises in :mod:`tests.simulation.machine`.
    """
    world = World()
    try:
        world.run(1)
        yield world
        assert not world.broken
    finally:
        world.close()


def apply(world: World, **spec: Any) -> None:
    at = world.airflow_clock().replace(microsecond=0).isoformat()
    world.cluster.create(KEY[1], {"dagId": "train", **spec}, at=at)
    world.look()


def edit(world: World, **spec: Any) -> None:
    world.cluster.edit(KEY, spec)
    world.look()


def delete(world: World) -> None:
    world.cluster.user_deletes(KEY, world.airflow_clock().replace(microsecond=0))
    world.look()


def dags_at_work(world: World) -> list[str]:
    return [run.dag_id for run in world.airflow.ours() if active(run)]


def run(world: World) -> FakeRun:
    return world.airflow.ours()[-1]


def version(world: World) -> int:
    return world.cluster.versions


def go_back_to(world: World, then: int, seconds: float) -> None:
    """Let all reads and watches of the Kubernetes API show an old state.

    Args:
        world: The simulated world.
        then: The result of :func:`version` at the time of the old state.
        seconds: After how many seconds reads and watches show the newest state again.
    """
    world.fall_behind(version(world) - then, seconds)
