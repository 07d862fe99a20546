"""Reads followed runs from Airflow repeatedly. All clients that follow the same run share the
results.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ..core.frozen import frozen
from ..core.run.facts import RunFact, TaskFact
from ..core.run.run_key import RunKey
from ..core.run.states import TERMINAL_RUN
from ..errors import OperatorError, backoff
from .errors import Refusal

log = logging.getLogger(__name__)

SHORTEST = 1.0
"""The shortest time between two readings of a run, in seconds."""
LONGEST = 8.0
"""The longest time between two readings of a run, in seconds."""
SHARE = 0.25
"""The largest share of the time that Airflow may be busy with readings of one run."""
PATIENCE = 120.0
"""The time, in seconds, for which a follower keeps the last reading while Airflow can't be asked.
After this time, the follower gets the error.
"""


@frozen
class Reading:
    """The state of a run in Airflow at one time.

    Attributes:
        run: The run, or None if Airflow does not have the run.
        tasks: The task instances of the run.
    """

    run: RunFact | None
    tasks: tuple[TaskFact, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended."""
        return self.run is not None and self.run.state in TERMINAL_RUN

    @property
    def content(self) -> object:
        """A value for comparing two readings. The values are equal if the run and its task
        instances have the same states, times and tries in both readings.
        """
        run = (self.run.state, self.run.queued_at, self.run.end) if self.run is not None else None
        return run, sorted((*fact.key, fact.try_number, fact.state, fact.start, fact.end) for fact in self.tasks)


Read = Callable[[], Awaitable[Reading]]


class FollowedRun:
    """Reads one run from Airflow repeatedly, for all clients that follow the run.

    While the run does not change, the time between two readings grows.

    Args:
        read: Reads the run from Airflow once.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._changed = asyncio.Event()
        self._reading: Reading | None = None
        self._error: OperatorError | Refusal | None = None
        self._failing_since: float | None = None
        self.followers = 0

    @property
    def reading(self) -> Reading:
        """The latest state of the run.

        If Airflow or the Kubernetes API fails, this property still returns the last state for
        ``PATIENCE`` (120) seconds.

        Raises:
            OperatorError: Airflow or the Kubernetes API has failed for ``PATIENCE`` seconds, or the
                run was never read because of such a failure.
            Refusal: The MLJob or the Airflow was deleted, no access rule lets the MLJob's namespace
                run the DAG, or mljob-api has an unexpected error.
        """
        if self._error is not None:
            late = self._failing_since is not None and self._clock() - self._failing_since >= PATIENCE
            if late or self._reading is None or isinstance(self._error, Refusal):
                raise self._error
        assert self._reading is not None, "first() was awaited"
        return self._reading

    async def first(self) -> None:
        """Wait until the first attempt to read the run has succeeded or failed."""
        if self._reading is None and self._error is None:
            await self._changed.wait()

    async def change(self, seconds: float) -> bool:
        """Wait until the run changes, or until an attempt to read the run fails. Then return True. If
        neither happens within ``seconds`` seconds, return False.
        """
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Read the run repeatedly, until this asyncio task is cancelled."""
        interval, failures = SHORTEST, 0
        while True:
            began = self._clock()
            try:
                reading = await self._read()
            except Exception as error:
                failures += 1
                if not isinstance(error, OperatorError | Refusal):
                    log.exception("a run can't be read: unexpected error")
                    error = Refusal(500, "mljob-api has failed. Its log has the cause.")
                self._error = error
                self._failing_since = began if self._failing_since is None else self._failing_since
                self._notify()
                await asyncio.sleep(backoff(error, failures) if isinstance(error, OperatorError) else LONGEST)
                continue
            failures, self._error, self._failing_since = 0, None, None
            if self._reading is None or reading.content != self._reading.content:
                self._reading, interval = reading, SHORTEST
                self._notify()
            else:
                interval = min(interval * 1.5, LONGEST)
            await asyncio.sleep(max(interval, (self._clock() - began) / SHARE))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Readings:
    """The runs that clients of this process follow."""

    def __init__(self) -> None:
        self._followed: dict[RunKey, tuple[FollowedRun, asyncio.Task[None]]] = {}

    @property
    def count(self) -> int:
        """The number of runs that are being followed."""
        return len(self._followed)

    @asynccontextmanager
    async def follow(self, key: RunKey, read: Read) -> AsyncIterator[FollowedRun]:
        """Follow a run while the ``async with`` block runs.

        Args:
            key: The run.
            read: Reads the run from Airflow. Ignored if another client already follows the run.

        Raises:
            OperatorError: The run can't be read, because Airflow or the Kubernetes API fails.
            Refusal: The MLJob or the Airflow was deleted, no access rule lets the MLJob's namespace
                run the DAG, or mljob-api has an unexpected error.
        """
        if key not in self._followed:
            followed = FollowedRun(read)
            self._followed[key] = followed, asyncio.create_task(followed.run(), name=f"readings of {key.run_id}")
        followed, task = self._followed[key]
        followed.followers += 1
        try:
            await followed.first()
            _ = followed.reading
            yield followed
        finally:
            followed.followers -= 1
            if not followed.followers:
                del self._followed[key]
                task.cancel()
