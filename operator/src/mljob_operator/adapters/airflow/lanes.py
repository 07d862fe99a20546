"""Lanes: each kind of work in one Airflow has its own threads, so that no kind waits for another.

Requests are synchronous and may hang until their timeouts. With shared threads, a thousand
submissions to a hanging Airflow would delay its cancellations by an hour. After several requests in
a row without an answer, a lane lets only one request at a time through. So the number of requests
to an Airflow that is down does not grow with the number of MLJobs.
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
"""The number of requests in a row without an answer after which a lane lets one request at a time
through."""
PATIENCE = 600.0
"""Seconds after which the caller stops waiting for an operation: the operation is queued too long,
or Airflow sends its answer byte by byte."""


class Work(StrEnum):
    """The kinds of work. They don't wait for each other."""

    SUBMISSIONS = "submissions"
    LOOKUPS = "lookups"
    """Requests for single runs, their tasks and their outputs."""
    FEED = "feed"
    CANCELLATIONS = "cancellations"
    PROBE = "probe"
    """Probes find out whether Airflow is back, so they must not wait for other requests."""


THREADS = {Work.SUBMISSIONS: 8, Work.LOOKUPS: 4, Work.FEED: 2, Work.CANCELLATIONS: 4, Work.PROBE: 1}
"""The number of threads of each lane. Airflow on PostgreSQL handles about 50 submissions a second,
whatever the number of clients, and 8 clients suffice for that."""
CONNECTIONS = sum(THREADS.values())
"""One connection per thread, so that no thread waits for another lane's connection."""


class Run(Protocol):
    """Runs a synchronous operation in a lane, under a name for metrics."""

    def __call__(self, work: Work, operation: str, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """The function's result."""
        ...


class Circuit:
    """A circuit breaker for an Airflow that gives no answer.

    After ``FAILURES`` failures in a row, it lets one request at a time through, with growing
    pauses.

    Args:
        clock: A monotonic clock, in seconds.
        jitter: The jitter of :func:`.errors.backoff`.
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
            AirflowUnavailable: The error of the last request; the new request is not sent.
        """
        with self._lock:
            if self._last is None or self._failures < FAILURES:
                return
            now = self._clock()
            if now >= max(self._closed_until, self._trial_until):
                # If that request never ends, another one is let through after PATIENCE.
                self._trial_until = now + PATIENCE
                return
            raise AirflowUnavailable(str(self._last), retry_after=max(0.0, self._closed_until - now))

    def answered(self) -> None:
        """Airflow has answered a request, with any result."""
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
    """Whether an error means that Airflow is out of reach for all requests."""
    return (
        isinstance(error, AirflowUnavailable) and not isinstance(error, AirflowUnreadable) and not error.of_one_request
    )


class Lane:
    """Runs one kind of work in one Airflow.

    Args:
        name: The lane's name, for threads and the log.
        threads: The number of operations that run at the same time.
        circuit: The circuit breaker; None: every request is sent, for the rare probes.
    """

    def __init__(self, name: str, threads: int, circuit: Circuit | None) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._circuit = circuit
        self._logged: set[str] = set()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function that sends requests in a thread; the function's result.

        Raises:
            Answer: An error of Airflow's API that the function did not interpret.
            AirflowError: Any other error.
        """
        work = self._threads.submit(self._guarded, function, *args)
        try:
            # Not wait_for, which loses a cancellation that arrives at the moment when the wait ends
            # (gh-86296, fixed in Python 3.12).
            async with asyncio.timeout(PATIENCE):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise AirflowUnavailable(
                f"Airflow has not answered for {PATIENCE:.0f} s, or other requests have kept it busy.",
                outcome_unknown=not work.cancelled(),
            ) from None

    def close(self) -> None:
        """Wait for the requests that are being sent."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function if the circuit breaker lets it through."""
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
        """Call the function; an unexpected exception becomes an error of this Airflow."""
        try:
            return function(*args)
        except (Answer, AirflowError):
            raise
        except Exception as error:
            self._log_once(error)
            raise AirflowUnreadable(
                f"An answer of Airflow's can't be read ({type(error).__name__}); see the operator's log.",
                outcome_unknown=True,
            ) from None

    def _log_once(self, error: Exception) -> None:
        """Log a defect's traceback once, without its message, which may quote an answer or a
        token.
        """
        where = "".join(traceback.format_tb(error.__traceback__))
        kind = f"{type(error).__name__}\n{where}"
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("%s: unexpected %s at\n%s", self._name, type(error).__name__, where)
