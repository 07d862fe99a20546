"""The lanes of an Airflow. A lane is a group of threads for one kind of request, so that no kind of
request waits for another kind.

Without lanes, a thousand submissions to an Airflow that does not answer would delay its
cancellations by many minutes.

A lane has a circuit breaker, which blocks most requests while Airflow is unavailable. Only the lane
of probes has none. A probe is a request that checks whether Airflow answers.
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

from ...errors import AirflowError, AirflowUnavailable, AirflowUnreadable, NotLeading, backoff
from .answers import Answer

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILURES = 5
"""The number of failed requests in a row after which a lane lets only one request at a time
through. A request has failed if its error means that Airflow is unavailable.
"""
OPERATION_TIMEOUT = 600.0
"""Seconds after which the caller of an operation gives up. An operation may take that long if it
waits behind many other operations, or if Airflow sends its answer byte by byte.
"""


class Work(StrEnum):
    """The kinds of requests to an Airflow. Each kind has its own threads."""

    SUBMISSIONS = "submissions"
    LOOKUPS = "lookups"
    """Requests for single runs, their tasks, and the lists of what the tasks have published."""
    OUTPUTS = "outputs"
    """Requests for the values of the outputs of single runs. A run may have a thousand XComs, and
    each takes a request.
    """
    FEED = "feed"
    """Requests for the changes of all runs."""
    CANCELLATIONS = "cancellations"
    LOGS = "logs"
    """Requests for the logs of tasks, which may take minutes."""
    PROBE = "probe"
    """Requests that find out whether Airflow answers again. They must not wait for other requests.
    """


THREADS = {
    Work.SUBMISSIONS: 8,
    Work.LOOKUPS: 4,
    Work.OUTPUTS: 4,
    Work.FEED: 2,
    Work.CANCELLATIONS: 4,
    Work.LOGS: 8,
    Work.PROBE: 1,
}
"""The number of threads of each lane. Airflow on PostgreSQL handles about 50 submissions a second,
whatever the number of clients. 8 threads suffice for this rate.
"""
CONNECTIONS = sum(THREADS.values())
"""The maximum number of connections to one Airflow that are kept open. Each thread has a
connection, so no thread waits for another lane's connection.
"""


class Run(Protocol):
    """The type of an asynchronous function that calls a synchronous function in another thread."""

    def __call__(self, work: Work, operation: str, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Call ``function(*args)`` in one of the threads for ``work``, and return the result. The
        requests of a cancellation, except for the values of outputs, have threads of their own,
        whatever their ``work`` is.
        ``operation`` is the operation's name in metrics.
        """
        ...


class Circuit:
    """The circuit breaker for one kind of request to one Airflow. After ``FAILURES`` (5) failed
    requests in a row, the circuit breaker allows only one request at a time, with growing pauses
    between the requests, until Airflow answers. A request has failed if its error means that
    Airflow is unavailable, for example a timeout or a 503.

    Args:
        clock: A monotonic clock, in seconds.
        jitter: Returns random numbers from 0 to 1, which vary the pauses (:func:`.errors.backoff`).
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
        self._trial_ends_at = 0.0

    def admit(self) -> None:
        """Check that a request may be sent now. The caller must later report what happened to the
        request, by :meth:`answered`, :meth:`failed` or :meth:`not_sent`.

        Raises:
            AirflowUnavailable: The request must not be sent. The error has the message of
                the last failure.
        """
        with self._lock:
            if self._last is None or self._failures < FAILURES:
                return
            now = self._clock()
            if now >= max(self._closed_until, self._trial_ends_at):
                # If this request never ends, the next request is let through after
                # OPERATION_TIMEOUT.
                self._trial_ends_at = now + OPERATION_TIMEOUT
                return
            raise AirflowUnavailable(str(self._last), retry_after=max(0.0, self._closed_until - now))

    def answered(self) -> None:
        """Record that Airflow has answered a request, possibly with an error such as 404. All
        requests are then allowed again.
        """
        with self._lock:
            self._failures, self._last = 0, None
            self._closed_until = self._trial_ends_at = 0.0

    def failed(self, error: AirflowUnavailable) -> None:
        """Record that a request has failed, because Airflow is unavailable."""
        with self._lock:
            self._failures += 1
            self._last = error
            self._trial_ends_at = 0.0
            if self._failures >= FAILURES:
                self._closed_until = self._clock() + backoff(error, self._failures - FAILURES + 1, self._jitter)

    def not_sent(self) -> None:
        """Record that an admitted request was not sent. Another request may be sent instead."""
        with self._lock:
            self._trial_ends_at = 0.0


def _is_unavailable(error: Exception) -> TypeGuard[AirflowUnavailable]:
    """Return whether an error means that Airflow is unavailable. AirflowUnreadable does not mean
    this, because Airflow has answered. An error whose cause may be the request alone
    (``of_one_request``) does not mean this either.
    """
    return (
        isinstance(error, AirflowUnavailable) and not isinstance(error, AirflowUnreadable) and not error.of_one_request
    )


class Lane:
    """Runs the requests of one kind to one Airflow, in threads of its own.

    Args:
        name: The lane's name, for threads and the log.
        threads: The number of threads.
        circuit: The circuit breaker. None allows every request.
    """

    def __init__(self, name: str, threads: int, circuit: Circuit | None) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._circuit = circuit
        self._logged: set[str] = set()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return the result of ``function(*args)``, which runs in one of the lane's threads.

        Raises:
            Answer: Airflow's API has answered with an error that the function did not interpret.
            NotLeading: The request would change something, and this process is not the leader.
            AirflowError: The circuit breaker blocked the request, the function failed in another
                way, or no result came within ``OPERATION_TIMEOUT`` (600 seconds). This time
                includes the wait for a thread.
        """
        work = self._threads.submit(self._guarded, function, *args)
        try:
            # asyncio.wait_for would lose a cancellation that arrives at the moment when the wait
            # ends (gh-86296 in CPython, fixed in 3.12).
            async with asyncio.timeout(OPERATION_TIMEOUT):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise AirflowUnavailable(
                f"Airflow has not answered for {OPERATION_TIMEOUT:.0f} s, or other requests have kept it busy.",
                outcome_unknown=not work.cancelled(),
            ) from None

    def resume(self) -> None:
        """Let the circuit breaker allow all requests, because Airflow answers again."""
        if self._circuit is not None:
            self._circuit.answered()

    def close(self) -> None:
        """Wait for the requests that are being sent, and drop the queued requests."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, function: Callable[..., T], *args: Any) -> T:
        if self._circuit is None:
            return self._mapped(function, *args)
        self._circuit.admit()
        try:
            result = self._mapped(function, *args)
        except (Answer, AirflowError) as error:
            if _is_unavailable(error):
                self._circuit.failed(error)
            else:
                self._circuit.answered()
            raise
        except NotLeading:
            self._circuit.not_sent()
            raise
        self._circuit.answered()
        return result

    def _mapped(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function. Raise AirflowUnreadable instead of an unexpected exception, because
        an unusual answer of Airflow may have caused the exception.
        """
        try:
            return function(*args)
        except (Answer, AirflowError, NotLeading):
            raise
        except Exception as error:
            self._log_once(error)
            raise AirflowUnreadable(
                f"An answer of Airflow's can't be read ({type(error).__name__}); see the operator's log.",
                outcome_unknown=True,
            ) from None

    def _log_once(self, error: Exception) -> None:
        """Log the traceback of an unexpected exception, unless this lane has already logged the
        same class with the same traceback. The exception's message is not logged, because the
        message may quote an answer or a token.
        """
        where = "".join(traceback.format_tb(error.__traceback__))
        kind = f"{type(error).__name__}\n{where}"
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("%s: unexpected %s at\n%s", self._name, type(error).__name__, where)
