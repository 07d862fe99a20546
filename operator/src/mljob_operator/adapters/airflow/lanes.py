"""Lanes: threads and connections for each kind of work in one Airflow, so that none waits behind another.

Requests are synchronous and may hang until their timeouts. With threads in common, a thousand submissions to an Airflow that hangs would keep its
cancellations waiting for an hour. A lane that gets no answer several times in a row is closed but for one request at a time, so that the number
of MLJobs does not multiply the requests to an Airflow that is down.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Protocol, TypeGuard, TypeVar

from ...errors import AirflowError, AirflowUnavailable, AirflowUnreadable, backoff
from .answers import Answer

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILURES = 5
"""Requests without an answer, in a row, after which a lane lets one at a time through."""
PATIENCE = 600.0
"""Seconds after which nobody waits for a piece of work any more: one that waits in a queue, or for an Airflow that sends a byte now and then."""


class Work(StrEnum):
    """The kinds of work that don't wait for each other."""

    SUBMISSIONS = "submissions"
    LOOKUPS = "lookups"
    """Runs, tasks and outputs that are asked for one by one."""
    FEED = "feed"
    CANCELLATIONS = "cancellations"
    PROBE = "probe"
    """Whether Airflow is back must not wait for those who ask it something else."""


THREADS = {Work.SUBMISSIONS: 8, Work.LOOKUPS: 4, Work.FEED: 2, Work.CANCELLATIONS: 4, Work.PROBE: 1}
"""Of each lane. Airflow on PostgreSQL takes about 50 submissions a second whatever the number of clients, and 8 keep it busy."""
CONNECTIONS = sum(THREADS.values())
"""One for each thread: none waits for one that another lane uses."""


class Run(Protocol):
    """Runs a synchronous operation in a lane, under a name for metrics."""

    def __call__(self, work: Work, operation: str, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """What the function returns."""
        ...


class Circuit:
    """Spares an Airflow that gives no answer: after ``FAILURES`` in a row one request at a time is let through, with growing pauses.

    Args:
        clock: Seconds that only grow.
        jitter: As in :func:`.errors.backoff`.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._failures = 0
        self._last: AirflowUnavailable | None = None
        self._closed_until = 0.0
        self._trial_until = 0.0

    def admit(self) -> None:
        """Let a request through.

        Raises:
            AirflowUnavailable: What the last one met: this one is not made.
        """
        with self._lock:
            if self._last is None or self._failures < FAILURES:
                return
            now = self._clock()
            if now >= max(self._closed_until, self._trial_until):
                # Should that one never end, another follows.
                self._trial_until = now + PATIENCE
                return
            raise AirflowUnavailable(str(self._last), retry_after=max(0.0, self._closed_until - now))

    def answered(self) -> None:
        """Airflow has answered a request, whatever it said."""
        with self._lock:
            self._failures, self._last = 0, None
            self._closed_until = self._trial_until = 0.0

    def failed(self, error: AirflowUnavailable) -> None:
        """A request got no answer."""
        with self._lock:
            self._failures += 1
            self._last = error
            self._trial_until = 0.0
            if self._failures >= FAILURES:
                self._closed_until = self._clock() + backoff(error, self._failures - FAILURES + 1, self._jitter)


def _is_no_answer(error: Exception) -> TypeGuard[AirflowUnavailable]:
    """Whether an error tells that Airflow is out of reach, for whatever request."""
    return (
        isinstance(error, AirflowUnavailable) and not isinstance(error, AirflowUnreadable) and not error.of_one_request
    )


class Lane:
    """Does one kind of work in one Airflow.

    Args:
        name: For threads and the log.
        threads: How many pieces of work may be under way.
        circuit: None: every request is made, as by somebody who asks seldom and has to know.
    """

    def __init__(self, name: str, threads: int, circuit: Circuit | None) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._circuit = circuit
        self._logged: set[str] = set()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What a function returns that makes requests, run in a thread.

        Raises:
            Answer: An error of Airflow's that the function did not interpret.
            AirflowError: Any other; nothing else leaves a lane.
        """
        work = self._threads.submit(self._guarded, function, *args)
        try:
            # Not wait_for, which loses a cancellation that comes in the moment in which the wait ends (gh-86296, mended in Python 3.12).
            async with asyncio.timeout(PATIENCE):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise AirflowUnavailable(
                f"Airflow has not answered for {PATIENCE:.0f} s, or other requests have kept it busy.",
                outcome_unknown=not work.cancelled(),
            ) from None

    def close(self) -> None:
        """Let requests under way end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, function: Callable[..., T], *args: Any) -> T:
        """Make the function's requests, if the circuit lets them through."""
        if self._circuit is None:
            return self._mapped(function, *args)
        self._circuit.admit()
        try:
            result = self._mapped(function, *args)
        except (Answer, AirflowError) as error:
            if _is_no_answer(error):
                self._circuit.failed(error)
            else:
                self._circuit.answered()
            raise
        self._circuit.answered()
        return result

    def _mapped(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function; whatever is unexpected is an error of this Airflow."""
        try:
            return function(*args)
        except (Answer, AirflowError):
            raise
        except Exception as error:
            self._log_once(error)
            raise AirflowUnreadable(
                f"An answer of Airflow's can't be read ({type(error).__name__}); the operator's log has the place.",
                outcome_unknown=True,
            ) from None

    def _log_once(self, error: Exception) -> None:
        """Say where a defect is. Without its message: that may hold what is in an answer, or a token."""
        where = "".join(traceback.format_tb(error.__traceback__))
        kind = f"{type(error).__name__}\n{where}"
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("%s: unexpected %s at\n%s", self._name, type(error).__name__, where)
