"""The priority queue of all writes about MLJobs.

While the Kubernetes API server keeps up, each write is sent without delay. Otherwise, writes wait
in this queue. Most statuses are built only after the wait. So one write contains all changes of
an MLJob's status that happened during the wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import TypeVar

from ...core.run.run_key import Key
from ...errors import StoreUnavailable
from .write_pace import WritePace

T = TypeVar("T")

LONGEST_WAITING_EVERY = 8
"""One in this many turns goes to the write that has waited longest, whatever its priority is. So no
write waits forever.
"""

TURN_SECONDS = 0.5
"""The seconds after which an MLJob that was woken and has not written loses its turn. Its step may
wait for Airflow, and the writes of other MLJobs must not wait for Airflow.
"""


class Priority(IntEnum):
    """The priority of a write. Lower numbers come first, but one in ``LONGEST_WAITING_EVERY`` turns
    goes to the write that has waited longest.

    Attributes:
        CANCELLATION: Stores the status of an MLJob whose run is or will be cancelled, or changes an
            MLJob that is being deleted.
        END: Stores how an MLJob, or an attempt, has ended.
        SUBMISSION: Stores the status before an action that depends on it, such as the submission of
            a run.
        FIRST: The operator's first write for a new MLJob: adds the finalizer, or if the API server
            has added the finalizer, stores the first status. ``SUBMISSION`` comes before ``FIRST``,
            so that a new MLJob does not delay the submission of earlier MLJobs.
        START: Stores any other new phase of an MLJob, such as Running.
        RELEASE: Removes the finalizer of a finished MLJob, or deletes the MLJob after its time to
            live.
        PROGRESS: Stores any other change of a status.
        EVENT: Records a Kubernetes Event.
    """

    CANCELLATION = 0
    END = 1
    SUBMISSION = 2
    FIRST = 3
    START = 4
    RELEASE = 5
    PROGRESS = 6
    EVENT = 7


class WriteQueue:
    """The queue of the writes that wait. All methods run in the event loop's thread."""

    def __init__(self) -> None:
        self._pace = WritePace()
        self._under_way = 0
        self._waiting: dict[Priority, dict[object, tuple[int, Callable[[], None]]]] = {
            priority: {} for priority in Priority
        }
        self._turns: dict[Key, float] = {}
        self._tickets = self._grants = 0
        self._resume: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

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

    def waiting(self, priority: Priority) -> int:
        """Return how many writes of this priority wait."""
        return len(self._waiting[priority])

    def waits(self, key: Key, priority: Priority) -> bool:
        """Return whether an MLJob waits for a turn (:meth:`has_turn`) with this priority."""
        return key in self._waiting[priority]

    def numbers(self) -> dict[str, int]:
        """Return how many writes of each priority wait, by the name of the priority in lower case."""
        return {priority.name.lower(): len(waiting) for priority, waiting in self._waiting.items()}

    def has_turn(self, key: Key, priority: Priority, wake: Callable[[], None]) -> bool:
        """Return whether an MLJob has a turn. With a turn, the operator may send a write about the
        MLJob now. If the MLJob has no turn, and a new write need not wait in the queue now, this
        method gives the MLJob a turn and returns True.

        The first :meth:`send` about the MLJob uses the turn and does not wait. An unused turn ends
        after ``TURN_SECONDS``, or with :meth:`end_turn`.

        If the result is False, this method has put the MLJob into the queue of ``priority``, and
        has removed the MLJob from the queue of any other priority. ``wake`` is called when the
        MLJob gets a turn.
        """
        if key in self._turns:
            return True
        if not self.is_busy and self._may_send():
            self._under_way += 1
            self._begin_turn(key)
            return True

        def take_turn() -> None:
            self._begin_turn(key)
            wake()

        if key not in self._waiting[priority]:
            self.leave(key)
            self._enqueue(priority, key, take_turn)
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
            self._end_write()

    def leave(self, key: Key) -> None:
        """Remove an MLJob from the queue."""
        for waiting in self._waiting.values():
            waiting.pop(key, None)

    async def send(self, priority: Priority, request: Callable[[], Awaitable[T]], *, key: Key | None = None) -> T:
        """Send a write when the write has its turn, and return the result of ``request``.

        Args:
            priority: The priority of the write.
            request: Sends the write.
            key: The MLJob that the write is about. If this MLJob has a turn (:meth:`has_turn`), the
                write uses the turn. Otherwise, the write waits for a turn of its own.

        Raises:
            StoreError: ``request`` raised this error.
        """
        if key is None or self._turns.pop(key, None) is None:
            if key is not None:
                # An MLJob has one place. While the MLJob waits here, it could not use a turn that
                # it gets through another place.
                self.leave(key)
            await self._turn(priority)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer = await request()
            self._pace.answered(clock() - began, clock())
        except StoreUnavailable as error:
            self._pace.refused(error.retry_after, clock())
            raise
        finally:
            self._end_write()
        return answer

    async def _turn(self, priority: Priority) -> None:
        if not self.is_busy and self._may_send():
            self._under_way += 1
            return
        turn = asyncio.get_running_loop().create_future()

        def take_turn() -> None:
            if turn.cancelled():
                self._end_write()
            else:
                turn.set_result(None)

        self._enqueue(priority, turn, take_turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end_write()
            self._waiting[priority].pop(turn, None)
            raise

    def _may_send(self) -> bool:
        return self._under_way < self._pace.limit and asyncio.get_running_loop().time() >= self._pace.paused_until

    def _enqueue(self, priority: Priority, token: object, take_turn: Callable[[], None]) -> None:
        self._tickets += 1
        self._waiting[priority][token] = (self._tickets, take_turn)
        self._give_turns()

    def _end_write(self) -> None:
        self._under_way -= 1
        self._give_turns()

    def _give_turns(self) -> None:
        while self.is_busy and self._may_send():
            self._grants += 1
            priority = self._next()
            token = next(iter(self._waiting[priority]))
            _, take_turn = self._waiting[priority].pop(token)
            self._under_way += 1
            take_turn()
        if self.is_busy and not self._under_way and self._resume is None:
            # Nothing is under way whose end gives the next turn, so the API server has asked for a
            # pause.
            loop = asyncio.get_running_loop()
            self._resume = loop.call_at(self._pace.paused_until, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._give_turns()

    def _next(self) -> Priority:
        present = [priority for priority, waiting in self._waiting.items() if waiting]
        if self._grants % LONGEST_WAITING_EVERY == 0:
            return min(present, key=lambda priority: next(iter(self._waiting[priority].values()))[0])
        return min(present)
