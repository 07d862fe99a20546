"""The priority queue of all writes about MLJobs.

While the Kubernetes API server keeps up, each write is sent without delay. Otherwise, writes wait
in this queue. Most statuses are built only after the wait. So one write contains all changes of
an MLJob's status that happened during the wait.

Within a priority, the namespaces of the MLJobs take turns. Each namespace has a share of the writes
that may be under way. A namespace uses more than its share only while no other namespace waits for
its own share. A namespace without a write under way need not wait for the writes of others: a reserve
beyond the limit is kept for such namespaces. So no namespace can hold up the writes of others, for
example with an admission webhook that does not answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from enum import IntEnum
from typing import TypeVar

from ...core.run.run_key import Key
from ...errors import StoreUnavailable
from .waiting_writes import WaitingWrites
from .write_pace import WritePace
from .write_pauses import WritePauses

T = TypeVar("T")

LESS_URGENT_EVERY = 16
"""One in this many turns goes to a write that is less urgent than the most urgent waiting write. The
less urgent priorities take turns, so no write waits forever.
"""

SHARES = 3
"""The share of a namespace is the limit of the writes under way, divided by this number. A namespace
uses more than its share only while no other namespace waits for its own share.
"""

TURN_SECONDS = 0.5
"""The seconds after which an MLJob that was woken and has not written loses its turn. Its step may
wait for Airflow, and the writes of other MLJobs must not wait for Airflow.
"""


class Priority(IntEnum):
    """The priority of a write. Lower numbers come first, but one in ``LESS_URGENT_EVERY`` turns goes
    to a less urgent priority. A namespace that has its share of the writes under way lets the writes
    of others go first, whatever their priority is.

    A write that has to be sent in any case comes before a write that a later one may contain. So the
    operator sends fewer writes while the Kubernetes API server is busy.

    Attributes:
        CANCELLATION: Stores the status of an MLJob whose run is or will be cancelled, or changes an
            MLJob that is being deleted.
        END: Stores how an MLJob, or an attempt, has ended.
        SUBMISSION: Stores the status before an action that depends on it, such as the submission of
            a run.
        FIRST: The operator's first write for a new MLJob: adds the finalizer, or if the API server
            has added the finalizer, stores the first status. ``SUBMISSION`` comes before ``FIRST``,
            so that a new MLJob does not delay the submission of earlier MLJobs.
        RELEASE: Removes the finalizer of a finished MLJob, or records the Event that the operator
            has given up cancelling a run.
        START: Stores any other new phase of an MLJob, such as Running.
        EXPIRY: Deletes an MLJob after its time to live.
        PROGRESS: Stores any other change of a status.
        EVENT: Records a Kubernetes Event.
    """

    CANCELLATION = 0
    END = 1
    SUBMISSION = 2
    FIRST = 3
    RELEASE = 4
    START = 5
    EXPIRY = 6
    PROGRESS = 7
    EVENT = 8


class WriteQueue:
    """The queue of the writes that wait. All methods run in the event loop's thread."""

    def __init__(self) -> None:
        self._pace = WritePace()
        self._pauses = WritePauses(self._give_turns)
        self._under_way = 0
        self._by_namespace: Counter[str] = Counter()
        self._in_reserve: set[str] = set()
        """The namespaces whose only write under way was sent beyond the limit."""
        self._waiting = {priority: WaitingWrites() for priority in Priority}
        self._turns: dict[Key, float] = {}
        self._grants = 0
        self._last_less_urgent = Priority.EVENT
        self._expiry: asyncio.TimerHandle | None = None
        self._is_giving_turns = False

    @property
    def is_busy(self) -> bool:
        """Whether at least one write waits in the queue."""
        return any(self._waiting.values())

    @property
    def load(self) -> float:
        """The average number of writes that were under way in about the last 2 seconds
        (:meth:`.WritePace.load`).
        """
        return self._pace.load(asyncio.get_running_loop().time())

    def has_waiting(self, namespace: str) -> bool:
        """Return whether at least one write of a namespace waits."""
        return any(waiting.number(namespace) for waiting in self._waiting.values())

    def waits(self, key: Key, priority: Priority) -> bool:
        """Return whether an MLJob waits for a turn (:meth:`has_turn`) with this priority."""
        return self._waiting[priority].waits(key[0], key)

    def numbers(self) -> dict[str, int]:
        """Return how many writes of each priority wait, by the name of the priority in lower case."""
        return {priority.name.lower(): len(waiting) for priority, waiting in self._waiting.items()}

    def has_turn(self, key: Key, priority: Priority, wake: Callable[[], None]) -> bool:
        """Return whether an MLJob has a turn. With a turn, the operator may send a write about the
        MLJob now. If the MLJob has no turn, and a new write about the MLJob need not wait in the
        queue now, this method gives the MLJob a turn and returns True.

        The first :meth:`send` about the MLJob uses the turn and does not wait. An unused turn ends
        after ``TURN_SECONDS``, or with :meth:`end_turn`.

        If the result is False, this method has put the MLJob into the queue of ``priority``, and
        has removed the MLJob from the queue of any other priority. ``wake`` is called when the
        MLJob gets a turn.
        """
        if key in self._turns:
            return True
        if self._may_begin(key[0]):
            self._begin_write(key[0])
            self._begin_turn(key)
            return True

        def take_turn() -> None:
            self._begin_turn(key)
            wake()

        if not self.waits(key, priority):
            self.leave(key)
            self._waiting[priority].add(key[0], key, take_turn)
        return False

    def _begin_turn(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        self._turns[key] = expires_at = loop.time() + TURN_SECONDS
        # One timer serves all turns, because nearly every turn is used long before it expires.
        if self._expiry is None:
            self._expiry = loop.call_at(expires_at, self._end_expired_turns)

    def _end_expired_turns(self) -> None:
        loop = asyncio.get_running_loop()
        for key in [key for key, expires_at in self._turns.items() if expires_at <= loop.time()]:
            self.end_turn(key)
        next_at = min(self._turns.values(), default=None)
        self._expiry = loop.call_at(next_at, self._end_expired_turns) if next_at is not None else None

    def end_turn(self, key: Key) -> None:
        """End the turn of an MLJob if the turn is unused, so that a waiting write can be sent
        instead. Call this method after each reconciliation of an MLJob.
        """
        if self._turns.pop(key, None) is not None:
            self._end_write(key[0])

    def leave(self, key: Key) -> None:
        """Remove an MLJob from the queue."""
        for waiting in self._waiting.values():
            waiting.remove(key[0], key)

    async def send(
        self, priority: Priority, request: Callable[[], Awaitable[T]], *, key: Key | None = None, namespace: str = ""
    ) -> T:
        """Send a write when the write has its turn, and return the result of ``request``.

        Args:
            priority: The priority of the write.
            request: Sends the write.
            key: The MLJob that the write is about. If this MLJob has a turn (:meth:`has_turn`), the
                write uses the turn. Otherwise, the write waits for a turn of its own. None if the
                write never uses the turn of an MLJob, such as a Kubernetes Event.
            namespace: The namespace of a write without ``key``.

        Raises:
            StoreError: ``request`` raised this error.
        """
        if key is not None:
            namespace = key[0]
        if key is None or self._turns.pop(key, None) is None:
            if key is not None:
                # An MLJob has one place. While the MLJob waits here, it could not use a turn that
                # it gets through another place.
                self.leave(key)
            await self._turn(priority, namespace)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer = await request()
            self._pace.answered(clock() - began, clock())
            self._pauses.succeeded()
        except StoreUnavailable as error:
            self._pace.refused()
            if error.retry_after > 0:
                self._pauses.pause(namespace, error.retry_after)
            raise
        finally:
            self._end_write(namespace)
        return answer

    async def _turn(self, priority: Priority, namespace: str) -> None:
        if self._may_begin(namespace):
            self._begin_write(namespace)
            return
        turn = asyncio.get_running_loop().create_future()

        def take_turn() -> None:
            if turn.cancelled():
                self._end_write(namespace)
            else:
                turn.set_result(None)

        self._waiting[priority].add(namespace, turn, take_turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end_write(namespace)
            self._waiting[priority].remove(namespace, turn)
            raise

    def _may_begin(self, namespace: str) -> bool:
        """Return whether a new write need not wait. The write passes no waiting write that could be
        sent as well, because :meth:`_give_turns` has left none.
        """
        if self._is_paused(namespace):
            return False
        return self._under_way < self._pace.limit or (self._has_reserve and self._is_idle(namespace))

    @property
    def _share(self) -> int:
        return self._pace.limit // SHARES

    @property
    def _has_reserve(self) -> bool:
        """Whether a namespace without a write under way may send one beyond the limit. Only these
        writes use up the reserve, because the others may be many more than the limit after it has
        fallen.
        """
        return len(self._in_reserve) < self._share

    def _is_idle(self, namespace: str) -> bool:
        return namespace not in self._by_namespace and not self._pauses.hold(namespace)

    def _is_within_share(self, namespace: str) -> bool:
        return self._by_namespace.get(namespace, 0) < self._share and not self._is_paused(namespace)

    def _is_paused(self, namespace: str) -> bool:
        return self._pauses.hold(namespace) or (self._pauses.server_is_busy and namespace in self._by_namespace)

    def _is_not_paused(self, namespace: str) -> bool:
        return not self._is_paused(namespace)

    def _begin_write(self, namespace: str) -> None:
        if self._under_way < self._pace.limit:
            self._in_reserve.clear()
        else:
            self._in_reserve.add(namespace)
        self._under_way += 1
        self._by_namespace[namespace] += 1

    def _end_write(self, namespace: str) -> None:
        self._under_way -= 1
        self._by_namespace[namespace] -= 1
        if not self._by_namespace[namespace]:
            del self._by_namespace[namespace]
            self._in_reserve.discard(namespace)
        self._give_turns()

    def _give_turns(self) -> None:
        # A write that was cancelled while it waited ends as soon as it gets its turn, and the end of
        # a write calls this method. The loop below then goes on. Thousands of writes may be cancelled
        # at once, so a loop within the loop would exceed the recursion limit.
        if self._is_giving_turns:
            return
        self._is_giving_turns = True
        try:
            while self.is_busy and (found := self._next()) is not None:
                self._grants += 1
                priority, namespace = found
                take_turn = self._waiting[priority].pop(namespace)
                self._begin_write(namespace)
                take_turn()
        finally:
            self._is_giving_turns = False

    def _next(self) -> tuple[Priority, str] | None:
        """Return the priority and the namespace of the next write, or None if all writes have to
        wait.
        """
        if self._under_way < self._pace.limit:
            return self._choose(self._is_within_share) or self._choose(self._is_not_paused)
        return self._choose(self._is_idle) if self._has_reserve else None

    def _choose(self, may_send: Callable[[str], bool]) -> tuple[Priority, str] | None:
        heads = self._heads(may_send)
        most_urgent = next(heads, None)
        if (self._grants + 1) % LESS_URGENT_EVERY:
            return most_urgent
        others = list(heads)
        if not others:
            return most_urgent
        found = next((head for head in others if head[0] > self._last_less_urgent), others[0])
        self._last_less_urgent = found[0]
        return found

    def _heads(self, may_send: Callable[[str], bool]) -> Iterator[tuple[Priority, str]]:
        for priority, waiting in self._waiting.items():
            if (namespace := waiting.next_namespace(may_send)) is not None:
                yield priority, namespace
