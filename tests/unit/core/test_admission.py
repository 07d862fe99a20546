from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mljob_operator.core.airflow_instance.admission import AdmissionQueue, Limits, Reservation

Key = tuple[str, str]
START = datetime(2026, 1, 1, tzinfo=UTC)


def key(number: int, namespace: str = "team-a") -> Key:
    return (namespace, f"job-{number}")


def at(number: int) -> datetime:
    return START + timedelta(seconds=number // 2)


class Queue(AdmissionQueue):
    """An admission queue that identifies an MLJob by a number."""

    def waits(
        self,
        *numbers: int,
        namespace: str = "team-a",
        airflow: str = "prod",
        access: int | None = 0,
        priority: int = 0,
    ) -> None:
        for number in numbers:
            self.reserve(key(number, namespace), Reservation(airflow, access, priority, active=False), at(number))

    def runs(
        self, *numbers: int, namespace: str = "team-a", airflow: str = "prod", access: int | None = 0, priority: int = 0
    ) -> None:
        for number in numbers:
            self.reserve(key(number, namespace), Reservation(airflow, access, priority, active=True), at(number))

    def next(self, limit: int | None, *of_rules: int | None) -> list[Key]:
        return self.admit("prod", Limits(limit, of_rules))

    def is_full(self, number: int, limit: int | None, namespace: str = "team-a", airflow: str = "prod") -> bool:
        about = key(number, namespace)
        return not self.is_admitted(about, airflow) and self.has_to_wait(about, airflow, 0, Limits(limit))


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_the_oldest_mljob_is_admitted_first_whatever_the_order_of_requests(queue: Queue) -> None:
    queue.waits(9, 4, 7)
    assert queue.next(2) == [key(4), key(7)]
    assert [queue.is_full(number, 2) for number in (4, 7, 9)] == [False, False, True]


def test_each_mljob_is_admitted_once(queue: Queue) -> None:
    queue.waits(1, 2)
    assert queue.next(1) == [key(1)]
    assert queue.next(1) == []
    queue.waits(1)
    assert queue.next(1) == []
    queue.runs(1)
    assert queue.next(1) == []
    queue.release(key(1))
    assert queue.next(1) == [key(2)]


def test_asking_for_a_place_does_not_admit_an_mljob(queue: Queue) -> None:
    queue.waits(1)
    assert queue.is_full(1, 5)
    assert queue.next(5) == [key(1)]
    assert not queue.is_full(1, 5)


def test_a_run_keeps_its_place_when_the_limit_is_lowered(queue: Queue) -> None:
    queue.runs(1, 2, 3)
    assert not queue.is_full(2, 1)
    assert queue.is_full(4, 3)
    queue.waits(4)
    assert queue.next(3) == []
    assert queue.next(4) == [key(4)]


def test_each_airflow_has_its_own_places(queue: Queue) -> None:
    queue.runs(1)
    assert queue.is_full(2, 1)
    assert not queue.is_full(2, 1, airflow="staging")
    queue.waits(2, airflow="staging")
    assert queue.admit("staging", Limits(1)) == [key(2)]


def test_without_a_limit_every_mljob_is_admitted(queue: Queue) -> None:
    queue.runs(*range(100))
    queue.waits(*range(100, 200))
    assert len(queue.next(None)) == 100


def test_namespaces_take_turns(queue: Queue) -> None:
    queue.waits(*range(6), namespace="team-a")
    queue.waits(10, 11, namespace="team-b")
    queue.waits(20, namespace="team-c")
    assert [namespace for namespace, _ in queue.next(9)] == [
        "team-a",
        "team-b",
        "team-c",
        "team-a",
        "team-b",
        "team-a",
        "team-a",
        "team-a",
        "team-a",
    ]


def test_a_thousand_mljobs_do_not_delay_another_namespace(queue: Queue) -> None:
    queue.waits(*range(1000), namespace="team-a")
    assert queue.next(1) == [key(0)]
    queue.waits(5000, namespace="team-b")
    queue.release(key(0))
    assert queue.next(1) == [key(5000, "team-b")]
    queue.release(key(5000, "team-b"))
    assert queue.next(1) == [key(1)]


def test_mljobs_that_arrive_one_by_one_do_not_starve_a_namespace_with_a_queue(queue: Queue) -> None:
    queue.waits(*range(100, 110), namespace="team-b")
    queue.runs(0, namespace="team-a")
    served = []
    active = key(0, "team-a")
    for number in range(1, 10):
        queue.waits(number, namespace=("team-a", "team-c")[number % 2])
        queue.release(active)
        (active,) = queue.next(1)
        served.append(active[0])
    assert served.count("team-b") >= 3


def test_a_higher_priority_goes_first(queue: Queue) -> None:
    queue.waits(1, namespace="team-a")
    queue.waits(2, namespace="team-b", access=1, priority=5)
    queue.waits(3, namespace="team-c", access=2, priority=-1)
    assert queue.next(3) == [key(2, "team-b"), key(1, "team-a"), key(3, "team-c")]


def test_a_full_rule_does_not_delay_other_rules(queue: Queue) -> None:
    queue.waits(1, 2, access=0, priority=9)
    queue.waits(3, 4, access=1)
    assert queue.next(3, 1, None) == [key(1), key(3), key(4)]
    assert queue.next(3, 1, None) == []
    queue.release(key(1))
    assert queue.next(3, 1, None) == [key(2)]


def test_the_limit_of_the_instance_applies_to_all_rules_together(queue: Queue) -> None:
    queue.waits(1, 2, access=0)
    queue.waits(3, 4, access=1)
    assert len(queue.next(3, 2, 2)) == 3


def test_a_run_without_a_matching_rule_counts_for_the_instance_only(queue: Queue) -> None:
    queue.runs(1, access=0)
    queue.runs(1, access=None)
    queue.waits(2, 3)
    assert queue.next(2, 1) == [key(2)]


def test_an_mljob_that_steps_aside_frees_its_place(queue: Queue) -> None:
    queue.waits(1, 2)
    assert queue.next(1) == [key(1)]
    queue.release_waiting(key(1))
    assert queue.next(1) == [key(2)]
    queue.runs(2)
    queue.release_waiting(key(2))
    assert (queue.active("prod"), queue.is_admitted(key(2), "prod")) == (1, True), "what runs can't"


def test_an_mljob_under_another_rule_queues_again(queue: Queue) -> None:
    queue.waits(1, access=0)
    assert queue.next(5, 1, 0) == [key(1)]
    queue.waits(1, access=1)
    assert queue.next(5, 1, 0) == []


@pytest.mark.parametrize("priority", [-5, 5])
def test_an_admitted_mljob_stays_admitted_when_its_priority_changes(queue: Queue, priority: int) -> None:
    queue.waits(1)
    assert queue.next(1) == [key(1)]
    queue.waits(1, priority=priority)
    queue.waits(2)
    assert queue.next(1) == []
    assert not queue.is_full(1, 1)
    queue.runs(1, priority=priority)
    queue.release(key(1))
    assert queue.next(1) == [key(2)]


def test_a_waiting_mljob_takes_its_place_by_its_new_priority(queue: Queue) -> None:
    queue.waits(1, 2)
    queue.waits(2, priority=5)
    assert queue.next(1) == [key(2)]


def test_another_mljob_of_the_same_name_queues_again(queue: Queue) -> None:
    queue.waits(1)
    assert queue.next(1) == [key(1)]
    queue.reserve(key(1), Reservation("prod", 0, 5, active=False), at(100))
    queue.waits(2)
    assert queue.waiting("prod") == 2


def test_active_and_waiting_mljobs_are_counted(queue: Queue) -> None:
    queue.runs(1, 2)
    queue.waits(3, 4, 5)
    queue.next(3)
    assert (queue.active("prod"), queue.waiting("prod"), queue.airflows_with_waiting()) == (
        2,
        2,
        ["prod"],
    )
    for number in range(1, 6):
        queue.release(key(number))
    assert (queue.active("prod"), queue.waiting("prod"), queue.airflows_with_waiting()) == (0, 0, [])


@given(st.permutations(range(12)), st.integers(1, 12))
def test_another_process_admits_the_same_mljobs_first(order: list[int], limit: int) -> None:
    def begin(numbers: list[int]) -> list[Key]:
        queue = Queue()
        for number in numbers:
            queue.waits(number, namespace=f"team-{number % 3}", access=number % 2, priority=number % 2)
        return queue.next(limit, 4)

    assert begin(order) == begin(list(range(12)))


class CountedOrder:
    """Makes datetimes, and counts their comparisons."""

    def __init__(self) -> None:
        self.comparisons = 0

    def stamp(self, number: int) -> datetime:
        counted = self

        class Stamp(datetime):
            def __lt__(self, other: datetime) -> bool:  # type: ignore[override]  # as datetime itself
                counted.comparisons += 1
                return super().__lt__(other)

        moment = START + timedelta(seconds=number)
        return Stamp(*moment.timetuple()[:6], tzinfo=UTC)


@pytest.mark.parametrize("namespaces", [pytest.param(1, id="of one namespace"), pytest.param(10_000, id="of as many")])
def test_a_queue_of_ten_thousand_mljobs_needs_few_comparisons_for_each(namespaces: int) -> None:
    count, order, queue = 10_000, CountedOrder(), AdmissionQueue()
    for number in range(count):
        name = (f"team-{number * 7919 % namespaces}", f"job-{number}")
        queue.reserve(name, Reservation("prod", 0, 0, active=False), order.stamp(number * 7919 % count))
    admitted = 0
    while found := queue.admit("prod", Limits(10)):
        admitted += len(found)
        for one in found:
            queue.release(one)
    assert admitted == count
    assert order.comparisons < 200 * count


LIMIT, RULES = 3, (2, None, 1)
NAMESPACES = ("team-a", "team-b", "team-c")


class Life(RuleBasedStateMachine):
    """A state machine in which MLJobs arrive at a queue, are admitted, and end."""

    @initialize(limit=st.integers(1, LIMIT))
    def begin(self, limit: int) -> None:
        self.queue, self.limits = Queue(), Limits(limit, RULES)
        self.running: set[int] = set()
        self.waiting: set[int] = set()
        self.overtaken: Counter[tuple[str, int, int]] = Counter()

    @staticmethod
    def place_of(number: int) -> tuple[str, int, int]:
        return NAMESPACES[number % 3], number % 2 + number // 10, int(number % 2 == 0)

    def _reserve(self, number: int, *, active: bool) -> None:
        namespace, access, priority = self.place_of(number)
        self.queue.reserve(key(number, namespace), Reservation("prod", access, priority, active), at(number))

    @rule(number=st.integers(0, 11))
    def wants(self, number: int) -> None:
        if number not in self.running:
            self._reserve(number, active=False)
            self.waiting.add(number)

    @rule()
    def admits(self) -> None:
        for _, name in self.queue.admit("prod", self.limits):
            number = int(name.removeprefix("job-"))
            served = self.place_of(number)
            self.overtaken[served] = 0
            for other in {self.place_of(waiting) for waiting in self.waiting} - {served}:
                self.overtaken[other] += other[1:] == served[1:]
            self.waiting.discard(number)
            self._reserve(number, active=True)
            self.running.add(number)

    @rule(number=st.integers(0, 11))
    def ends(self, number: int) -> None:
        self.queue.release(key(number, self.place_of(number)[0]))
        self.running.discard(number)
        self.waiting.discard(number)

    @invariant()
    def never_more_than_the_limits(self) -> None:
        if hasattr(self, "queue"):
            assert self.limits.total is not None
            assert self.queue.active("prod") == len(self.running) <= self.limits.total
            for place, limit in enumerate(RULES):
                active = sum(self.place_of(number)[1] == place for number in self.running)
                assert limit is None or active <= limit

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if hasattr(self, "queue"):
            assert self.queue.waiting("prod") == len(self.waiting)

    @invariant()
    def no_namespace_is_passed_over_again_and_again(self) -> None:
        """While MLJobs of a namespace wait, the queue admits at most four MLJobs of other
        namespaces before it admits an MLJob of this namespace. Only MLJobs with the same access
        rule and priority count.
        """
        if hasattr(self, "queue"):
            there = {self.place_of(number) for number in self.waiting}
            self.overtaken = Counter({place: count for place, count in self.overtaken.items() if place in there})
            assert all(count <= 2 * (len(NAMESPACES) - 1) for count in self.overtaken.values())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
