"""Places: never more than there are, in the order of creation, and nobody is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mljob_operator.core.places import Claim, Places

START = datetime(2026, 1, 1, tzinfo=UTC)


def key(number: int) -> tuple[str, str]:
    return ("team-a", f"job-{number}")


def at(number: int) -> datetime:
    return START + timedelta(seconds=number // 2)


def waits(places: Places, *numbers: int, airflow: str = "prod") -> None:
    for number in numbers:
        places.claim(key(number), Claim(airflow, held=False), at(number))


def holds(places: Places, *numbers: int, airflow: str = "prod") -> None:
    for number in numbers:
        places.claim(key(number), Claim(airflow, held=True), at(number))


def test_the_oldest_go_first_whoever_asked_first() -> None:
    places = Places()
    waits(places, 9, 4, 7)
    assert places.called("prod", 2) == [key(4), key(7)]
    assert [places.full(key(number), at(number), "prod", 2) for number in (4, 7, 9)] == [False, False, True]


def test_one_that_has_not_asked_yet_stands_where_it_belongs() -> None:
    places = Places()
    waits(places, 1, 3)
    assert not places.full(key(0), at(0), "prod", 1)
    assert places.full(key(2), at(2), "prod", 1)


def test_who_has_a_place_keeps_it_whatever_the_limit_becomes() -> None:
    places = Places()
    holds(places, 1, 2, 3)
    assert not places.full(key(2), at(2), "prod", 1)
    assert places.full(key(0), at(0), "prod", 3)


def test_airflows_have_places_of_their_own() -> None:
    places = Places()
    holds(places, 1)
    assert places.full(key(2), at(2), "prod", 1)
    assert not places.full(key(2), at(2), "staging", 1)


def test_without_a_limit_there_is_always_one() -> None:
    places = Places()
    holds(places, *range(100))
    assert not places.full(key(200), at(200), "prod", None)


def test_each_is_called_once() -> None:
    places = Places()
    waits(places, 1, 2)
    assert places.called("prod", 1) == [key(1)]
    assert places.called("prod", 1) == []
    holds(places, 1)
    assert places.called("prod", 1) == []
    places.drop(key(1))
    assert places.called("prod", 1) == [key(2)]


class Life(RuleBasedStateMachine):
    """MLJobs come, take places where they may, fail, end, and go."""

    @initialize(limit=st.integers(1, 3))
    def begin(self, limit: int) -> None:
        self.places, self.limit = Places(), limit
        self.holding: set[int] = set()
        self.waiting: set[int] = set()

    @rule(number=st.integers(0, 9))
    def wants(self, number: int) -> None:
        if number not in self.holding:
            waits(self.places, number)
            self.waiting.add(number)

    @rule(number=st.integers(0, 9))
    def tries(self, number: int) -> None:
        if number in self.waiting and not self.places.full(key(number), at(number), "prod", self.limit):
            holds(self.places, number)
            self.waiting.discard(number)
            self.holding.add(number)

    @rule(number=st.integers(0, 9))
    def ends(self, number: int) -> None:
        self.places.drop(key(number))
        self.holding.discard(number)
        self.waiting.discard(number)

    @invariant()
    def never_more_than_there_are(self) -> None:
        if hasattr(self, "places"):
            assert len(self.places.holders("prod")) <= self.limit
            assert len(self.places.holders("prod")) == len(self.holding)

    @invariant()
    def those_that_may_go_are_the_oldest(self) -> None:
        if hasattr(self, "places"):
            free = self.limit - len(self.holding)
            may = [n for n in sorted(self.waiting) if not self.places.full(key(n), at(n), "prod", self.limit)]
            assert may == sorted(self.waiting, key=lambda n: (at(n), key(n)))[:free]

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if hasattr(self, "places"):
            assert self.places.waiting("prod") == len(self.waiting)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
