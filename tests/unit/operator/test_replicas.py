"""Two replicas of the operator, of which only the leader acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.simulation.machine import Machine, hold, moments, which
from tests.simulation.network import Fault, When
from tests.simulation.replicas import Replica, ReplicatedWorld

from .simulated import KEY, apply, dags_at_work, edit, run
from .test_promises import EDITS, SPECS


@pytest.fixture
def world() -> Iterator[ReplicatedWorld]:
    world = ReplicatedWorld()
    world.run(1)
    world.start(beside=True)
    world.run(2)
    yield world
    assert not world.broken
    world.close()


def seconds_until(world: ReplicatedWorld, holds: Callable[[], bool]) -> float:
    """Let simulated time pass until ``holds`` returns true, and return the seconds that have
    passed.
    """
    began = world.loop.time()
    while not holds():
        assert world.loop.time() < began + 120, "it never holds"
        world.run(0.1)
    return world.loop.time() - began


def test_only_the_leader_changes_anything(world: ReplicatedWorld) -> None:
    apply(world, backoffLimit=1)
    world.run(20)
    world.airflow.finish(run(world), RunState.FAILED)
    world.run(60)
    world.airflow.finish(run(world), RunState.SUCCESS)
    world.run(60)
    assert world.status(KEY).phase is Phase.SUCCEEDED
    assert len(world.writers) == 1


def test_standby_acts_within_fifteen_seconds_after_the_leader_was_killed(world: ReplicatedWorld) -> None:
    world.leader.kill()
    apply(world)
    assert seconds_until(world, lambda: dags_at_work(world) == ["train"]) < 15
    assert world.status(KEY).phase is Phase.QUEUED


def test_standby_acts_within_two_seconds_after_the_leader_was_told_to_end(world: ReplicatedWorld) -> None:
    world.leader.terminate()
    apply(world)
    assert seconds_until(world, lambda: dags_at_work(world) == ["train"]) < 2


def test_standby_does_not_wait_for_a_request_that_hangs(world: ReplicatedWorld) -> None:
    world.network.faults["airflow"] = [None, Fault.LATE]
    apply(world)
    world.run(1)
    (stray,) = [stray for stray in world.network.strays if stray.name == "submit"]
    world.leader.terminate()
    assert seconds_until(world, lambda: len(world.writers) == 2) < 2
    world.lands(stray)
    world.run(60)
    assert [found.run_id for found in world.airflow.ours()] == [world.status(KEY).dag_run_id]


def test_standby_does_not_wait_for_an_event_that_hangs(world: ReplicatedWorld) -> None:
    world.network.faults["kubernetes"] = [None, None, None, None, Fault.LATE]
    apply(world)
    world.run(0.3)
    assert [stray.name for stray in world.network.strays] == ["record"]
    world.leader.terminate()
    assert seconds_until(world, lambda: len(world.writers) == 2) < 2


def test_standby_follows_the_run_of_a_leader_that_was_killed(world: ReplicatedWorld) -> None:
    apply(world)
    world.run(5)
    world.leader.kill()
    world.airflow.finish(run(world), RunState.SUCCESS)
    assert seconds_until(world, lambda: world.status(KEY).phase is Phase.SUCCEEDED) < 20
    assert len(world.airflow.ours()) == 1


def test_leader_that_is_cut_off_from_kubernetes_submits_nothing_any_more(world: ReplicatedWorld) -> None:
    world.network.down.add("airflow")
    apply(world)
    world.run(2)
    old = world.leader
    old.contender.wire.cut.add("kubernetes")
    edit(world, dagId="predict")
    world.run(7)
    world.network.down.clear()
    world.run(120)
    assert dags_at_work(world) == ["predict"]
    assert world.leader is not old


def test_leader_that_was_paused_changes_nothing_afterwards(world: ReplicatedWorld) -> None:
    apply(world)
    world.run(5)
    paused = world.leader
    paused.pause(paused=True)
    world.run(20)
    assert world.leader is not paused
    edit(world, suspend=True)
    world.run(10)
    paused.pause(paused=False)
    world.run(60)
    assert world.status(KEY).phase is Phase.SUSPENDED
    assert len(world.writers) == 2


def test_submission_that_a_killed_leader_had_sent_is_the_only_one(world: ReplicatedWorld) -> None:
    world.network.faults["airflow"] = [None, Fault.LATE]
    apply(world)
    world.run(1)
    (stray,) = [stray for stray in world.network.strays if stray.name == "submit"]
    world.leader.kill()
    world.run(14)
    world.lands(stray)
    world.run(60)
    assert [found.run_id for found in world.airflow.ours()] == [world.status(KEY).dag_run_id]


class Replicas(Machine):
    specs = SPECS
    edits = EDITS

    def new_world(self) -> ReplicatedWorld:
        return ReplicatedWorld()

    @property
    def replicas(self) -> list[Replica]:
        world = self.world
        assert isinstance(world, ReplicatedWorld)
        return world.replicas

    @precondition(lambda self: len(self.replicas) == 1)
    @rule(then=st.sampled_from([0.4, 4.0, 11.0]))
    def a_standby_starts(self, then: float) -> None:
        self.world.start(beside=True)
        self._then("a_standby_starts", then)

    @precondition(lambda self: self.replicas)
    @rule(which=which, then=moments)
    def a_replica_is_told_to_end(self, which: int, then: float) -> None:
        if which < len(self.replicas):
            self.replicas[which].terminate()
            self._then("a_replica_is_told_to_end", then)

    @precondition(lambda self: self.replicas)
    @rule(which=which, seconds=st.sampled_from([0.4, 6.0, 15.0]), then=moments)
    def a_replica_hangs(self, which: int, seconds: float, then: float) -> None:
        if which < len(self.replicas):
            replica = self.replicas[which]
            replica.pause(paused=True)
            self.world.run(seconds)
            replica.pause(paused=False)
            self._then("a_replica_hangs", then)

    @precondition(lambda self: self.replicas)
    @rule(which=which, then=moments)
    def a_replica_is_cut_off_or_back(self, which: int, then: float) -> None:
        if which < len(self.replicas):
            self.replicas[which].contender.wire.cut ^= {"kubernetes"}
            self._then("a_replica_is_cut_off_or_back", then)


def test_no_replica_dies_during_the_last_check() -> None:
    machine = Replicas()
    machine.create(KEY, {"dagId": "train"}, 0.4)
    machine.die_at_a_request(calls=9, when=When.BEFORE, which=0, then=0.4)
    machine.ends_well()
    machine.world.close()


def test_promises_hold_with_replicas() -> None:
    hold(Replicas)
