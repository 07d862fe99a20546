"""Decides which MLJob may submit a run next if the number of MLJobs with an active run in an
Airflow is limited.

``maxActiveRuns`` of the AirflowInstance limits this number for the whole Airflow. ``maxActiveRuns``
of an access rule limits this number for the MLJobs of the rule.

An MLJob that wants to submit a run makes a reservation, and waits until the queue admits the MLJob.
An admitted MLJob counts against the limits until the operator knows that its run has ended or does
not exist.

An MLJob has the priority of its access rule. MLJobs with a higher priority are admitted first.
Among MLJobs of the same priority, the pairs of a namespace and an access rule take turns. Each turn
admits the oldest MLJob of one pair. If one access rule has reached its limit, MLJobs of other rules
are still admitted.

After a restart, the operator rebuilds the queue from the statuses of all MLJobs. The turns are not
in the statuses, so in each priority the pair with the oldest MLJob has the first turn again.

Sources: Kueue for the terms reservation and admission; round robin, as in fair queuing (Nagle, RFC
970), for the turns.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from ..frozen import frozen
from ..run.run_key import Key

Rule = int | None
"""The index of an access rule in the rules of its Airflow, or None if no rule matches any more."""
QueueKey = tuple[datetime, Key]
"""The sort key of a waiting MLJob: the time when the MLJob was created, then namespace and name."""


@frozen
class Reservation:
    """The place that an MLJob takes, or wants to take, within an Airflow's limits on active runs.

    Attributes:
        airflow: The name of the Airflow.
        rule: The index of the MLJob's access rule in the rules of the Airflow, or None if no rule
            matches.
        priority: The priority of the access rule, or 0 if no rule matches.
        active: True if the MLJob has an active run in the Airflow, or may have an active run
            because the result of a submission is not known yet. False if the MLJob wants to submit
            a run.
    """

    airflow: str
    rule: Rule
    priority: int
    active: bool


@frozen
class Limits:
    """The limits on the number of MLJobs with an active run in an Airflow. None means no limit.

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
    """The MLJobs that wait for admission, which is the permission to submit a run, and the MLJobs
    that were admitted and count against the limits on active runs. The queue has the MLJobs of all
    Airflows. Each MLJob in the queue has one :class:`Reservation`.
    """

    def __init__(self) -> None:
        self._reservations: dict[Key, tuple[Reservation, QueueKey]] = {}
        self._active: Counter[str] = Counter()
        self._airflows: defaultdict[str, _AirflowReservations] = defaultdict(_AirflowReservations)

    def reserve(self, key: Key, reservation: Reservation | None, created_at: datetime) -> bool:
        """Set the reservation of an MLJob, or remove the reservation if ``reservation`` is None.
        Return whether the reservation has changed.

        An admitted MLJob whose reservation changes in the priority only stays admitted. Priorities
        order the MLJobs that wait.
        """
        queue_key = (created_at, key)
        new = (reservation, queue_key) if reservation is not None else None
        stored = self._reservations.get(key)
        if stored == new:
            return False
        if new is not None and self._stays_admitted(key, stored, new):
            self._reservations[key] = new
            return True
        self.release(key)
        if reservation is not None:
            self._reservations[key] = (reservation, queue_key)
            airflow = self._airflows[reservation.airflow]
            if reservation.active:
                self._active[reservation.airflow] += 1
                airflow.admit(key, reservation.rule)
            else:
                airflow.wait(queue_key, reservation.priority, reservation.rule)
        return True

    def _stays_admitted(
        self, key: Key, stored: tuple[Reservation, QueueKey] | None, new: tuple[Reservation, QueueKey]
    ) -> bool:
        if stored is None or not self.is_admitted(key, new[0].airflow):
            return False
        return (replace(stored[0], priority=new[0].priority), stored[1]) == new

    def release(self, key: Key) -> None:
        """Remove the reservation of an MLJob, if there is a reservation."""
        if (stored := self._reservations.pop(key, None)) is None:
            return
        reservation, queue_key = stored
        if reservation.active:
            self._active[reservation.airflow] -= 1
        airflow = self._airflows[reservation.airflow]
        if not airflow.end(key, reservation.rule):
            airflow.stop_waiting(queue_key, reservation.priority, reservation.rule)
        if airflow.empty:
            del self._airflows[reservation.airflow]

    def release_waiting(self, key: Key) -> None:
        """Remove the reservation of an MLJob if :attr:`Reservation.active` is False. If this MLJob
        was admitted already, another MLJob can now be admitted instead.
        """
        if (stored := self._reservations.get(key)) is not None and not stored[0].active:
            self.release(key)

    def is_admitted(self, key: Key, airflow: str) -> bool:
        """Return whether an MLJob is admitted to an Airflow. An MLJob that has, or may have, an
        active run in this Airflow counts as admitted.
        """
        reservations = self._airflows.get(airflow)
        return reservations is not None and key in reservations.admitted

    def has_to_wait(self, key: Key, airflow: str, rule: Rule, limits: Limits) -> bool:
        """Return whether an MLJob waits for admission to an Airflow, or would have to wait if it
        made a reservation now. The MLJob must not be admitted already.
        """
        stored = self._reservations.get(key)
        if stored is not None and stored[0].airflow == airflow:
            return True
        reservations = self._airflows.get(airflow)
        return reservations is not None and not reservations.has_capacity(rule, limits)

    def admit(self, airflow: str, limits: Limits) -> list[Key]:
        """Admit as many waiting MLJobs as the limits allow. Return these MLJobs in the order of
        admission.
        """
        reservations = self._airflows.get(airflow)
        return list(reservations.admit_next(limits)) if reservations is not None else []

    def airflows_with_waiting(self) -> list[str]:
        """Return the names of the Airflows to which at least one MLJob waits for admission."""
        return [name for name, airflow in self._airflows.items() if airflow.waiting]

    def active(self, airflow: str) -> int:
        """Return how many MLJobs have, or may have, an active run in an Airflow."""
        return self._active[airflow]

    def waiting(self, airflow: str) -> int:
        """Return how many MLJobs wait for admission to an Airflow."""
        reservations = self._airflows.get(airflow)
        return reservations.waiting if reservations is not None else 0


class _AirflowReservations:
    def __init__(self) -> None:
        self.admitted: set[Key] = set()
        self.waiting = 0
        self._by_rule: Counter[Rule] = Counter()
        self._priorities: dict[int, _PriorityQueue] = {}

    @property
    def empty(self) -> bool:
        return not self.admitted and not self.waiting

    def has_capacity(self, rule: Rule, limits: Limits) -> bool:
        limit = limits.of_rule(rule)
        return (limits.total is None or len(self.admitted) < limits.total) and (
            limit is None or self._by_rule[rule] < limit
        )

    def admit(self, key: Key, rule: Rule) -> None:
        self.admitted.add(key)
        self._by_rule[rule] += 1

    def end(self, key: Key, rule: Rule) -> bool:
        if key not in self.admitted:
            return False
        self.admitted.discard(key)
        self._by_rule[rule] -= 1
        return True

    def wait(self, queue_key: QueueKey, priority: int, rule: Rule) -> None:
        self._priorities.setdefault(priority, _PriorityQueue()).add(queue_key, rule)
        self.waiting += 1

    def stop_waiting(self, queue_key: QueueKey, priority: int, rule: Rule) -> None:
        self._priorities[priority].remove(queue_key, rule)
        self._drop_waiting(priority)

    def admit_next(self, limits: Limits) -> Iterator[Key]:
        for priority in sorted(self._priorities, reverse=True):
            queue = self._priorities[priority]
            while (found := queue.first(lambda rule: self.has_capacity(rule, limits))) is not None:
                (_, key), rule = found
                queue.pop(*found)
                self._drop_waiting(priority)
                self.admit(key, rule)
                yield key

    def _drop_waiting(self, priority: int) -> None:
        self.waiting -= 1
        if self._priorities[priority].empty:
            del self._priorities[priority]


class _PriorityQueue:
    """The MLJobs of one priority that wait for admission to one Airflow. The pairs of a namespace
    and an access rule take turns, in an order. The first pair has the next turn. A pair whose
    access rule has reached its limit is skipped.

    After the admission of an MLJob, the MLJob's pair goes to the end of the order. A new pair
    enters the order just before the pair of the most recent admission. If several pairs have
    entered since that admission, the pair with the oldest MLJob comes first.
    """

    def __init__(self) -> None:
        self._round = 0
        self._queues: defaultdict[Rule, _RuleQueue] = defaultdict(_RuleQueue)

    @property
    def empty(self) -> bool:
        return not any(self._queues.values())

    def add(self, queue_key: QueueKey, rule: Rule) -> None:
        self._queues[rule].add(queue_key, turn=self._round - 1)

    def remove(self, queue_key: QueueKey, rule: Rule) -> None:
        self._queues[rule].remove(queue_key)

    def first(self, has_capacity: Callable[[Rule], bool]) -> tuple[QueueKey, Rule] | None:
        first_of_rules = [(queue.head, rule) for rule, queue in self._queues.items() if queue and has_capacity(rule)]
        if not first_of_rules:
            return None
        (_, queue_key, _), rule = min(first_of_rules, key=lambda head: head[0])
        return queue_key, rule

    def pop(self, queue_key: QueueKey, rule: Rule) -> None:
        self._round += 2
        self._queues[rule].remove(queue_key, next_turn=self._round)


class _RuleQueue:
    """The MLJobs of one priority and one access rule that wait for admission to one Airflow, by
    namespace. Each namespace has a number, its turn. The first MLJob of the queue is the oldest
    MLJob of the namespace with the lowest turn. If namespaces have the same turn, the namespace
    with the oldest MLJob comes first.
    """

    def __init__(self) -> None:
        self._order: list[tuple[int, QueueKey, str]] = []
        self._turns: dict[str, int] = {}
        self._queue_keys: dict[str, list[QueueKey]] = {}

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def head(self) -> tuple[int, QueueKey, str]:
        return self._order[0]

    def add(self, queue_key: QueueKey, turn: int) -> None:
        namespace = queue_key[1][0]
        queue_keys = self._queue_keys.setdefault(namespace, [])
        if queue_keys:
            self._dequeue(namespace)
        else:
            self._turns[namespace] = turn
        insort(queue_keys, queue_key)
        self._enqueue(namespace)

    def remove(self, queue_key: QueueKey, next_turn: int | None = None) -> None:
        namespace = queue_key[1][0]
        queue_keys = self._queue_keys[namespace]
        self._dequeue(namespace)
        del queue_keys[bisect_left(queue_keys, queue_key)]
        if not queue_keys:
            del self._queue_keys[namespace], self._turns[namespace]
            return
        if next_turn is not None:
            self._turns[namespace] = next_turn
        self._enqueue(namespace)

    def _entry(self, namespace: str) -> tuple[int, QueueKey, str]:
        return self._turns[namespace], self._queue_keys[namespace][0], namespace

    def _enqueue(self, namespace: str) -> None:
        insort(self._order, self._entry(namespace))

    def _dequeue(self, namespace: str) -> None:
        del self._order[bisect_left(self._order, self._entry(namespace))]
