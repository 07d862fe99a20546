"""A term is a period in which one process of the operator is the leader."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mljob_operator.controllers.leadership import STOPS_AFTER, Term
from mljob_operator.core.leadership.lease import Lease
from mljob_operator.errors import NotLeading, StoreError
from tests.fakes.leases import LeasesOfOperator
from tests.simulation.network import STRAY_FOR, Fault

from .conftest import Election

LEASE = "mljob-operator"


def test_first_process_leads_at_once_and_the_second_stands_by(election: Election) -> None:
    first = election.start()
    election.run(0.5)
    second = election.start()
    election.run(60)
    assert election.leaders == [first]
    assert (first.election.stands_by, second.election.stands_by) == (False, True)
    assert election.leases.objects[LEASE].transitions == 0, "the same term all the time"


def test_killed_leader_is_replaced_within_fifteen_seconds(election: Election) -> None:
    first, second = election.start(), election.start()
    election.run(5)
    (leader,) = election.leaders
    leader.kill()
    (other,) = {first, second} - {leader}
    assert election.seconds_until_leads(other) < 12


@pytest.mark.parametrize("seconds", [4, 10, 60])
def test_standby_sees_a_killed_leader_until_it_leads_itself(election: Election, seconds: float) -> None:
    # Otherwise, the alert MLJobNoLeader would fire for each kill, if the Lease is long.
    election.leases.seconds = seconds
    first = election.start()
    election.run(0.5)
    second = election.start()
    assert not second.meter.sees_leader
    election.run(30)
    assert second.meter.sees_leader
    first.kill()
    blind = 0.0
    while not second.leads:
        election.run(0.1)
        blind += 0 if second.meter.sees_leader else 0.1
        assert blind < 2
    assert second.meter.sees_leader


def test_no_process_sees_a_leader_during_an_outage_of_the_kubernetes_api(election: Election) -> None:
    first, second = election.start(), election.start()
    election.run(5)
    election.network.down.add("kubernetes")
    election.run(30)
    assert (first.meter.sees_leader, second.meter.sees_leader) == (False, False)
    election.network.down.clear()
    election.run(5)
    assert (first.meter.sees_leader, second.meter.sees_leader) == (True, True)


def test_holder_that_waits_for_a_rival_is_no_leader(election: Election) -> None:
    rival = election.start(lease="another")
    election.run(1)
    rival.kill()
    first, second = election.start(), election.start()
    election.run(4)
    assert (first.meter.sees_leader, second.meter.sees_leader) == (False, False)
    election.run(20)
    assert (first.meter.sees_leader, second.meter.sees_leader) == (True, True)


def test_holder_that_cannot_begin_is_no_leader(election: Election, monkeypatch: pytest.MonkeyPatch) -> None:
    first = election.start()
    election.run(1)
    second = election.start()
    election.run(5)
    assert second.meter.sees_leader

    async def refuse(_: object) -> None:
        raise StoreError("leases.coordination.k8s.io is forbidden")

    monkeypatch.setattr(LeasesOfOperator, "others", refuse)
    first.kill()
    election.run(60)
    assert (second.leads, second.meter.sees_leader) == (False, False)


def test_leader_that_is_told_to_end_is_replaced_within_a_second(election: Election) -> None:
    first = election.start()
    election.run(1)
    second = election.start()
    election.run(5)
    first.terminate()
    assert election.seconds_until_leads(second) < 1
    assert not first.runs


def test_process_that_is_told_to_end_while_it_takes_the_lease_releases_it(election: Election) -> None:
    first = election.start()
    while LEASE not in election.leases.objects:
        election.loop.run_until_complete(asyncio.sleep(0.001))
    first.terminate()
    election.run(0.1)
    assert first.terms == []
    assert election.leases.objects[LEASE].holder is None
    assert election.seconds_until_leads(election.start()) < 1


def test_leader_keeps_its_lease_until_it_has_stopped_to_act(election: Election) -> None:
    async def slow(_: Term, over: asyncio.Event) -> None:
        await over.wait()
        await asyncio.sleep(20)

    first = election.start(act=slow)
    election.run(1)
    second = election.start()
    first.terminate()
    election.run(19)
    assert election.leaders == [first]
    election.run(2)
    assert election.leaders == [second]


def test_leader_that_is_cut_off_stops_before_another_one_starts(election: Election) -> None:
    first = election.start()
    election.run(1)
    second = election.start()
    election.run(5)
    first.wire.cut.add("kubernetes")
    began = election.now
    while first.leads:
        election.run(0.1)
    stopped_after = election.now - began
    assert stopped_after <= STOPS_AFTER * election.leases.seconds
    assert not second.leads
    assert 1 < election.seconds_until_leads(second) < 6
    first.wire.cut.clear()
    election.run(30)
    assert election.leaders == [second]
    assert first.election.stands_by


def test_leader_leads_again_after_an_outage_of_the_kubernetes_api(election: Election) -> None:
    first, second = election.start(), election.start()
    election.run(5)
    election.network.down.add("kubernetes")
    election.run(60)
    assert election.leaders == []
    election.network.down.clear()
    assert election.seconds_until_leads(first, second) < 1


def test_late_renewal_of_an_earlier_term_delays_the_next_one_only_for_others(election: Election) -> None:
    first = election.start()
    election.run(3)
    election.network.faults["kubernetes"] = [Fault.LATE] * 4
    election.run(2)
    late = next(stray for stray in election.network.strays if stray.name == "renew")
    first.wire.cut.add("kubernetes")
    election.run(8)
    assert not first.leads
    election.land(late)
    first.wire.cut.clear()
    assert election.seconds_until_leads(first) < 4
    assert len(first.terms) == 2


def test_short_outage_of_the_kubernetes_api_ends_no_term(election: Election) -> None:
    first = election.start()
    election.run(1)
    election.start()
    election.run(5)
    election.network.down.add("kubernetes")
    election.run(4)
    election.network.down.clear()
    election.run(30)
    assert election.leaders == [first]
    assert len(first.terms) == 1


def test_lost_answer_to_a_renewal_ends_no_term(election: Election) -> None:
    first = election.start()
    election.run(1)
    election.network.faults["kubernetes"] = [Fault.ANSWER_LOST]
    election.run(60)
    assert election.leaders == [first]
    assert len(first.terms) == 1


def test_change_of_an_annotation_by_a_person_ends_no_term(election: Election) -> None:
    first = election.start()
    election.run(1)
    election.leases.touch(LEASE)
    election.run(30)
    assert election.leaders == [first]
    assert len(first.terms) == 1


def test_term_ends_when_the_lease_is_deleted(election: Election) -> None:
    first = election.start()
    election.run(1)
    second = election.start()
    election.run(1)
    del election.leases.objects[LEASE]
    election.run(60)
    assert len(election.leaders) == 1
    assert len(first.terms) + len(second.terms) == 2


def test_term_that_is_over_never_opens_its_gate_again(election: Election) -> None:
    first = election.start()
    election.run(1)
    first.wire.cut.add("kubernetes")
    election.run(30)
    first.wire.cut.clear()
    election.run(30)
    past, current = first.terms
    current.check()
    with pytest.raises(NotLeading, match="this process does not hold the Lease mljob-operator any more"):
        past.check()


def test_process_that_was_paused_sends_nothing_afterwards() -> None:
    now = [0.0]
    term = Term(Lease(LEASE, "uid", "1", "pod-1", 10), until=7.0, clock=lambda: now[0])
    with pytest.raises(NotLeading):
        term.check()
    term.begin()
    term.check()
    now[0] = 7.0
    with pytest.raises(NotLeading):
        term.check()
    term.renew(term.lease, until=100.0)
    with pytest.raises(NotLeading):
        term.check()


SETTLED_AFTER = 25.0
"""The time in seconds after which a process must lead, counted from the end of all faults."""


class Competition(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.election = Election()
        self.election.start()

    @property
    def running(self) -> list[int]:
        return [number for number, each in enumerate(self.election.contenders) if each.runs]

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0, 6.9, 7.1, 10.0, 12.0]))
    def wait(self, seconds: float) -> None:
        self.election.run(seconds)

    @precondition(lambda self: len(self.running) < 3)
    @rule()
    def start(self) -> None:
        self.election.start()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2), by_force=st.booleans())
    def end(self, which: int, *, by_force: bool) -> None:
        contender = self.election.contenders[self.running[which % len(self.running)]]
        if by_force:
            contender.kill()
        else:
            contender.terminate()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2))
    def cut_or_connect(self, which: int) -> None:
        self.election.contenders[self.running[which % len(self.running)]].wire.cut ^= {"kubernetes"}

    @rule(faults=st.lists(st.sampled_from([None, *Fault]), max_size=4))
    def fail(self, faults: list[Fault | None]) -> None:
        self.election.network.faults["kubernetes"] += faults

    @precondition(lambda self: self.election.network.strays)
    @rule()
    def land(self) -> None:
        stray = self.election.network.strays.pop(0)
        if self.election.now < stray.since + STRAY_FOR:
            self.election.land(stray)

    @rule()
    def annotate(self) -> None:
        if LEASE in self.election.leases.objects:
            self.election.leases.touch(LEASE)

    @invariant()
    def one_leads(self) -> None:
        assert self.election.split == []

    def teardown(self) -> None:
        self.election.network.faults["kubernetes"].clear()
        for contender in self.election.contenders:
            contender.wire.cut.clear()
        if not self.running:
            self.election.start()
        self.election.run(SETTLED_AFTER)
        leaders = len(self.election.leaders)
        self.election.close()
        assert leaders == 1, "a process has to lead when all is well again"


TestCompetition = Competition.TestCase
TestCompetition.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
