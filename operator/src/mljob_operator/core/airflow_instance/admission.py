"""Decides which MLJob may submit a run next if the number of active runs in an Airflow is limited.

Two fields limit the number: ``maxActiveRuns`` of the AirflowInstance, and ``maxActiveRuns`` of an
access rule. An MLJob that wants to submit a run makes a reservation, and waits until the queue
admits the MLJob. An admitted MLJob counts against the limits until its run is known to have ended,
or is known not to exist.

A new process rebuilds the queue from the statuses of all MLJobs. Only the turns of namespaces start
from the beginning.

MLJobs with a higher priority are admitted first. Within a priority, namespaces take turns,
separately for each access rule, and each namespace begins with its oldest MLJob. If one access rule
has reached its limit, MLJobs of other rules are still admitted.

Sources: Kueue for the terms reservation and admission; round robin, as in fair queuing (Nagle, RFC
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
"""The index of an access rule in the rules of its Airflow, or None if no rule matches any more."""
Ticket = tuple[datetime, Key]
"""The sort key of a waiting MLJob: the time when the MLJob was created, then namespace and name."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """An MLJob's claim to one of the active runs that an Airflow's limits allow.

    Attributes:
        airflow: The name of the Airflow.
        rule: The access rule that applies to the MLJob.
        priority: The priority of the access rule.
        active: Whether the MLJob has or may have a run in the Airflow. If not, the MLJob wants to
            submit a run.
    """

    airflow: str
    rule: Rule
    priority: int
    active: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs of MLJobs may be active in an Airflow. None stands for any number.

    Attributes:
        total: The limit of the whole Airflow.
        rules: The limit of each access rule, in the order of the rules.
    """

    total: int | None = None
    rules: tuple[int | None, ...] = ()

    def of_rule(self, rule: Rule) -> int | None:
        """Return the limit of an access rule, or None if the rule has no limit."""
        return self.rules[rule] if rule is not None and rule < len(self.rules) else None


class AdmissionQueue:
    """The reservations of all MLJobs in all Airflows."""

    def __init__(self) -> None:
        self._reservations: dict[Key, tuple[Reservation, Ticket]] = {}
        self._airflows: defaultdict[str, _Airflow] = defaultdict(_Airflow)

    def reserve(self, key: Key, reservation: Reservation | None, created_at: datetime) -> bool:
        """Set the reservation of an MLJob, or remove the reservation if ``reservation`` is None.
        Return whether the reservation has changed.
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
        """Remove the reservation of an MLJob. The MLJob neither has a run nor wants one."""
        if (known := self._reservations.pop(key, None)) is None:
            return
        reservation, ticket = known
        airflow = self._airflows[reservation.airflow]
        if not airflow.end(key, reservation.rule):
            airflow.leave(ticket, reservation.priority, reservation.rule)
        if airflow.empty:
            del self._airflows[reservation.airflow]

    def step_aside(self, key: Key) -> None:
        """Remove the reservation of an MLJob that can't submit its run for now, so that the next
        MLJob is admitted. A reservation of an MLJob that has a run stays.
        """
        if (known := self._reservations.get(key)) is not None and not known[0].active:
            self.release(key)

    def is_admitted(self, key: Key, airflow: str) -> bool:
        """Return whether an MLJob is admitted to an Airflow: the MLJob has a run there, or may
        submit one.
        """
        there = self._airflows.get(airflow)
        return there is not None and key in there.admitted

    def has_to_wait(self, key: Key, airflow: str, rule: Rule, limits: Limits) -> bool:
        """Return whether an MLJob waits for admission, or would have to wait if it made a
        reservation. The MLJob must not be admitted already.
        """
        known = self._reservations.get(key)
        if known is not None and known[0].airflow == airflow:
            return True
        there = self._airflows.get(airflow)
        return there is not None and not there.has_place(rule, limits)

    def admit(self, airflow: str, limits: Limits) -> list[Key]:
        """Admit as many waiting MLJobs as the limits allow. Return the admitted MLJobs in the order
        of their admission.
        """
        there = self._airflows.get(airflow)
        return list(there.admit_next(limits)) if there is not None else []

    def queues(self) -> list[str]:
        """Return the names of the Airflows for which MLJobs wait."""
        return [name for name, airflow in self._airflows.items() if airflow.waiting]

    def active(self, airflow: str) -> list[Key]:
        """Return the MLJobs that have or may have a run in an Airflow."""
        there = self._airflows.get(airflow)
        return sorted(key for key in there.admitted if self._reservations[key][0].active) if there is not None else []

    def waiting(self, airflow: str) -> int:
        """Return how many MLJobs wait for an Airflow."""
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
        """Stop counting an MLJob against the limits. Return whether the MLJob was admitted."""
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

    A namespace that is new in the queue comes after the namespaces that wait already, and before
    the namespace that was admitted last. After an admission, a namespace goes to the end. Before
    the first admission, namespaces are ordered by their oldest MLJobs, so that every process begins
    with the same order.
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
        """Return the next MLJob to admit and its access rule, considering only rules below their
        limits. Return None if no such MLJob waits.
        """
        heads = [(line.head, rule) for rule, line in self._lines.items() if line and has_place(rule)]
        if not heads:
            return None
        (_, ticket, _), rule = min(heads, key=lambda head: head[0])
        return ticket, rule

    def serve(self, ticket: Ticket, rule: Rule) -> None:
        """Remove an admitted MLJob, and move its namespace to the end."""
        self._round += 2
        self._lines[rule].remove(ticket, next_turn=self._round)


class _Line:
    """The namespaces whose MLJobs wait under one access rule, ordered by turn, then by the oldest
    MLJob.
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
        """Add an MLJob. A namespace without another MLJob in the line gets the turn ``turn``; any
        other namespace keeps its turn.
        """
        namespace = ticket[1][0]
        tickets = self._tickets.setdefault(namespace, [])
        if tickets:
            self._step_out(namespace)
        else:
            self._turns[namespace] = turn
        insort(tickets, ticket)
        self._line_up(namespace)

    def remove(self, ticket: Ticket, next_turn: int | None = None) -> None:
        """Remove an MLJob. Its namespace gets the turn ``next_turn``, or keeps its turn if
        ``next_turn`` is None.
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
