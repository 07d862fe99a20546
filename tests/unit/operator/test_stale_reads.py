"""The operator makes no wrong decision while the Kubernetes API returns old versions of MLJobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.simulation.world import World

from .simulated import KEY, apply, dags_at_work, delete, edit, go_back_to, run, simulation, version


@pytest.fixture
def world() -> Iterator[World]:
    with simulation() as world:
        yield world


def restart(world: World) -> None:
    world.kill()
    world.start()


def requests_in(world: World, seconds: float) -> int:
    assert world.process is not None
    before = world.process.wire.calls
    world.run(seconds)
    return world.process.wire.calls - before


class TestStaleVersion:
    def test_run_that_was_announced_for_an_older_spec_is_not_submitted(self, world: World) -> None:
        world.network.down.add("airflow")
        apply(world)
        world.run(1)
        announced = version(world)
        world.kill()
        edit(world, dagId="predict")
        world.network.down.clear()
        world.start()
        world.run(60)
        assert dags_at_work(world) == ["predict"]

        go_back_to(world, announced, seconds=45)
        restart(world)
        world.run(30)
        assert dags_at_work(world) == ["predict"]

    def test_run_that_was_deleted_in_airflow_is_not_submitted_again(self, world: World) -> None:
        world.network.down.add("airflow")
        apply(world)
        world.run(1)
        announced = version(world)
        world.network.down.clear()
        world.run(20)
        world.airflow.finish(run(world), RunState.SUCCESS)
        world.run(20)
        assert world.status(KEY).phase is Phase.SUCCEEDED
        world.airflow.runs.clear()

        go_back_to(world, announced, seconds=45)
        restart(world)
        world.run(60)
        assert not world.airflow.ours()
        assert world.status(KEY).phase is Phase.SUCCEEDED

    def test_run_that_was_cleared_after_its_cancellation_is_not_cancelled_again(self, world: World) -> None:
        apply(world, cancellation={"strategy": "Api"})
        world.run(2)
        world.network.faults["airflow"] = []
        edit(world, suspend=True)
        world.run(0.02)
        assert world.status(KEY).phase is Phase.CANCELLING
        cancelling = version(world)
        world.run(20)
        assert world.status(KEY).phase is Phase.SUSPENDED
        edit(world, suspend=False)
        world.kill()
        cleared = run(world)
        world.by_hand.add(cleared.run_id)
        world.airflow.clear(cleared)

        go_back_to(world, cancelling, seconds=45)
        world.start()
        world.run(40)
        assert cleared.state is RunState.QUEUED


class TestPermanentlyStaleReads:
    def test_operator_asks_with_growing_pauses(self, world: World) -> None:
        apply(world)
        world.run(2)
        submitted = version(world)
        world.kill()
        edit(world, activeDeadlineSeconds=3600)
        world.airflow.finish(run(world), RunState.SUCCESS)
        go_back_to(world, submitted, seconds=45)
        world.start()
        assert requests_in(world, 30) < 60
        world.run(45)
        assert world.status(KEY).phase is Phase.SUCCEEDED

    def test_mljob_that_no_read_shows_yet_is_not_forgotten(self, world: World) -> None:
        nothing = version(world)
        apply(world)
        world.run(0.05)
        go_back_to(world, nothing, seconds=20)
        edit(world, conf={"a": 1})
        world.run(60)
        assert world.status(KEY).phase is Phase.QUEUED

    def test_deleted_mljob_does_not_replace_its_re_created_namesake(self, world: World) -> None:
        apply(world)
        world.run(2)
        first = version(world)
        delete(world)
        world.run(1)
        world.airflow.cancellations_go_on()
        world.run(20)
        apply(world, dagId="predict")
        world.run(2)
        assert world.process is not None
        go_back_to(world, first, seconds=20)
        world.soon(world.process.list_again)
        world.run(1)
        (live,) = world.process.job_controller.lister.unfinished("")
        assert live.run.dag_id == "predict"
