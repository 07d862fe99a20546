"""An API server whose reads are behind: lists, gets and watches answer from an older version for a while, and writes are held to the newest."""

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


class TestNothingIsDoneInAirflowForAnOldVersion:
    """A process may have read what was so; before it changes anything in Airflow, the API server has to accept a write of that version."""

    def test_a_run_that_was_announced_for_an_older_spec_is_not_submitted(self, world: World) -> None:
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

    def test_a_run_that_has_been_deleted_in_airflow_does_not_come_back(self, world: World) -> None:
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

    def test_a_run_is_not_cancelled_again_that_somebody_has_cleared_since(self, world: World) -> None:
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


class TestReadsThatDoNotCatchUp:
    """A write is refused, and no read says why."""

    def test_the_operator_asks_less_and_less_often(self, world: World) -> None:
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

    def test_an_mljob_that_no_read_shows_yet_is_not_forgotten(self, world: World) -> None:
        nothing = version(world)
        apply(world)
        world.run(0.05)
        go_back_to(world, nothing, seconds=20)
        edit(world, conf={"a": 1})
        world.run(60)
        assert world.status(KEY).phase is Phase.QUEUED

    def test_an_mljob_of_the_past_does_not_displace_the_one_that_has_its_name_now(self, world: World) -> None:
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
        (live,) = world.process.queue.live("")
        assert live.run.dag_id == "predict"
