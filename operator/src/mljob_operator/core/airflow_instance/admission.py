"""Which MLJob may submit a run next, where the number of active runs in an Airflow is limited.

Two numbers limit it: ``maxActiveRuns`` of the AirflowInstance, and of an access rule. An MLJob that
wants to submit a run makes a reservation and waits until it is admitted. It keeps its place until
its run is known to be over, or known never to have existed. The queue follows from what is known of
each MLJob, so a process that has listed all MLJobs knows which are active. Only the turns of
namespaces begin anew.

MLJobs with a higher priority go first. Within a priority, namespaces take turns, separately for
each access rule, and the oldest MLJob of a namespace goes first. An MLJob whose access rule has no
place left does not hold up MLJobs of other rules.

Sources: Kueue for the terms (reservation, admission); round robin, as in fair queuing (Nagle, RFC
970), for the turns.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ..run.run_key import Key

Rule = int | None
"""The index of an access rule among those of its Airflow; None: no rule matches any more."""
Ticket = tuple[datetime, Key]
"""The sort key of waiting MLJobs: when the MLJob was created, then namespace and name."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The place of an MLJob among the active runs of an Airflow, or its wish for one.

    Attributes:
        airflow: The Airflow's name.
        rule: The access rule that applies to the MLJob.
        priority: The priority of that rule.
        active: Whether the MLJob has a run there, or may have. Otherwise it wants to submit one.
    """

    airflow: str
    rule: Rule
    priority: int
    active: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs of MLJobs may be active in an Airflow; None: any number.

    Attributes:
        total: The limit of the Airflow.
        rules: The limit of each access rule.
    """

    total: int | None = None
    rules: tuple[int | None, ...] = ()

    def of_rule(self, rule: Rule) -> int | None:
        """The limit of an access rule."""
        return self.rules[rule] if rule is not None and rule < len(self.rules) else None


class AdmissionQueue:
    """The reservations in all Airflows."""

    def __init__(self) -> None:
        self._reservations: dict[Key, tuple[Reservation, Ticket]] = {}
        self._airflows: defaultdict[str, _Airflow] = defaultdict(_Airflow)

    def reserve(self, key: Key, reservation: Reservation | None, created_at: datetime) -> bool:
        """Set the reservation of an MLJob; None: it has none. Returns whether the reservation has
        changed.
        """
        ticket = (created_at, key)
        known = self._reservations.get(key)
        if known == ((reservation, ticket) if reservation is not None else None):
            return False
        self.release(key)
        if reservation is not None:
            self._reservations[key] = (reservation, ticket)
            airflow = self._airflows[reservation.airflow]
            if reservation.active:
                airflow.admit(key, reservation.rule)
            else:
                airflow.wait(ticket, reservation.priority, reservation.rule)
        return True

    def release(self, key: Key) -> None:
        """Remove the reservation of an MLJob that neither has nor wants a run."""
        if (known := self._reservations.pop(key, None)) is None:
            return
        reservation, ticket = known
        airflow = self._airflows[reservation.airflow]
        if not airflow.end(key, reservation.rule):
            airflow.leave(ticket, reservation.priority, reservation.rule)
        if airflow.empty:
            del self._airflows[reservation.airflow]

    def step_aside(self, key: Key) -> None:
        """Remove the reservation of an MLJob that can't submit its run for now, unless it has a
        run.
        """
        if (known := self._reservations.get(key)) is not None and not known[0].active:
            self.release(key)

    def is_admitted(self, key: Key, airflow: str) -> bool:
        """Whether an MLJob has a place, for the run that it has or for the run that it may submit."""
        there = self._airflows.get(airflow)
        return there is not None and key in there.admitted

    def has_to_wait(self, key: Key, airflow: str, rule: Rule, limits: Limits) -> bool:
        """Whether an MLJob without a place waits in the queue, or would have to."""
        known = self._reservations.get(key)
        if known is not None and known[0].airflow == airflow:
            return True
        there = self._airflows.get(airflow)
        return there is not None and not there.has_place(rule, limits)

    def admit(self, airflow: str, limits: Limits) -> list[Key]:
        """Admit as many waiting MLJobs as there are places. Returns the admitted MLJobs in their
        order.
        """
        there = self._airflows.get(airflow)
        return list(there.admit_next(limits)) if there is not None else []

    def queues(self) -> list[str]:
        """The names of Airflows for which MLJobs wait."""
        return [name for name, airflow in self._airflows.items() if airflow.waiting]

    def active(self, airflow: str) -> list[Key]:
        """The MLJobs that have a run in an Airflow, or may have."""
        there = self._airflows.get(airflow)
        return sorted(key for key in there.admitted if self._reservations[key][0].active) if there is not None else []

    def waiting(self, airflow: str) -> int:
        """How many MLJobs wait for an Airflow."""
        there = self._airflows.get(airflow)
        return there.waiting if there is not None else 0


class _Airflow:
    """The reservations in one Airflow."""

    def __init__(self) -> None:
        self.admitted: set[Key] = set()
        self.waiting = 0
        self._by_rule: Counter[Rule] = Counter()
        self._levels: dict[int, _Level] = {}

    @property
    def empty(self) -> bool:
        return not self.admitted and not self.waiting

    def has_place(self, rule: Rule, limits: Limits) -> bool:
        limit = limits.of_rule(rule)
        return (limits.total is None or len(self.admitted) < limits.total) and (
            limit is None or self._by_rule[rule] < limit
        )

    def admit(self, key: Key, rule: Rule) -> None:
        self.admitted.add(key)
        self._by_rule[rule] += 1

    def end(self, key: Key, rule: Rule) -> bool:
        """Free an MLJob's place. Returns whether it had one."""
        if key not in self.admitted:
            return False
        self.admitted.discard(key)
        self._by_rule[rule] -= 1
        return True

    def wait(self, ticket: Ticket, priority: int, rule: Rule) -> None:
        self._levels.setdefault(priority, _Level()).add(ticket, rule)
        self.waiting += 1

    def leave(self, ticket: Ticket, priority: int, rule: Rule) -> None:
        self._levels[priority].remove(ticket, rule)
        self._left(priority)

    def admit_next(self, limits: Limits) -> Iterator[Key]:
        for priority in sorted(self._levels, reverse=True):
            level = self._levels[priority]
            while (found := level.first(lambda rule: self.has_place(rule, limits))) is not None:
                (_, key), rule = found
                level.serve(*found)
                self._left(priority)
                self.admit(key, rule)
                yield key

    def _left(self, priority: int) -> None:
        self.waiting -= 1
        if self._levels[priority].empty:
            del self._levels[priority]


class _Level:
    """The MLJobs that wait for one Airflow with one priority. Namespaces take turns, separately for
    each access rule.

    A namespace joins behind those that are waiting, and before the namespace that was admitted
    last. After an admission, a namespace goes to the end. Until the first admission, the namespace
    with the oldest MLJob is first, so that all processes begin with the same order.
    """

    def __init__(self) -> None:
        self._round = 0
        self._lines: defaultdict[Rule, _Line] = defaultdict(_Line)

    @property
    def empty(self) -> bool:
        return not any(self._lines.values())

    def add(self, ticket: Ticket, rule: Rule) -> None:
        self._lines[rule].add(ticket, turn=self._round - 1)

    def remove(self, ticket: Ticket, rule: Rule) -> None:
        self._lines[rule].remove(ticket)

    def first(self, has_place: Callable[[Rule], bool]) -> tuple[Ticket, Rule] | None:
        """The next MLJob to be admitted, of those whose access rule has a free place; None: no such
        MLJob waits.
        """
        heads = [(line.head, rule) for rule, line in self._lines.items() if line and has_place(rule)]
        if not heads:
            return None
        (_, ticket, _), rule = min(heads, key=lambda head: head[0])
        return ticket, rule

    def serve(self, ticket: Ticket, rule: Rule) -> None:
        """Remove an admitted MLJob, whose namespace has had its turn."""
        self._round += 2
        self._lines[rule].remove(ticket, next_turn=self._round)


class _Line:
    """The namespaces whose MLJobs wait under one access rule, ordered by turn, oldest MLJob and
    name.
    """

    def __init__(self) -> None:
        self._order: list[tuple[int, Ticket, str]] = []
        self._turns: dict[str, int] = {}
        self._tickets: dict[str, list[Ticket]] = {}

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def head(self) -> tuple[int, Ticket, str]:
        return self._order[0]

    def add(self, ticket: Ticket, turn: int) -> None:
        """Add an MLJob. ``turn`` applies if its namespace has no other MLJob here."""
        namespace = ticket[1][0]
        tickets = self._tickets.setdefault(namespace, [])
        if tickets:
            self._step_out(namespace)
        else:
            self._turns[namespace] = turn
        insort(tickets, ticket)
        self._line_up(namespace)

    def remove(self, ticket: Ticket, next_turn: int | None = None) -> None:
        """Remove an MLJob. ``next_turn`` is the next turn of its namespace; None: the namespace
        keeps its turn.
        """
        namespace = ticket[1][0]
        tickets = self._tickets[namespace]
        self._step_out(namespace)
        del tickets[bisect_left(tickets, ticket)]
        if not tickets:
            del self._tickets[namespace], self._turns[namespace]
            return
        if next_turn is not None:
            self._turns[namespace] = next_turn
        self._line_up(namespace)

    def _entry(self, namespace: str) -> tuple[int, Ticket, str]:
        return self._turns[namespace], self._tickets[namespace][0], namespace

    def _line_up(self, namespace: str) -> None:
        insort(self._order, self._entry(namespace))

    def _step_out(self, namespace: str) -> None:
        del self._order[bisect_left(self._order, self._entry(namespace))]
