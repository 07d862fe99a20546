"""Writes the log of a task to a client.

If the client follows the task without a try number, the client gets the newest try's log first.
Then the client gets the log of each later try, until the task has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from mljob_contract.run_api import LOG_GOES_ON, LOG_NOTICE, LogPosition

from ..core.conf.redaction import Redaction
from ..core.frozen import frozen
from ..core.run.facts import TaskFact, TaskKey
from ..core.run.followed_try import TryState, choose, try_state
from ..core.text.spelling import meant
from ..ports import DagRuns
from .errors import Refusal
from .log_sinks import From, Lines, Sink, Tail
from .output import Output
from .readings import FollowedRun, Reading
from .tail_places import TailPlace
from .try_log import TaskTry, TryLog, notice

MAX_TAIL = 10_000
"""The maximum number of lines that ``tail`` may ask for."""
SHORTEST, LONGEST = 1.0, 5.0
"""The shortest and the longest time between two requests for the log of a running task, in seconds.
The time grows while the task writes nothing.
"""
MAX_NAMES = 20
"""The maximum number of tasks that a message names."""


_HOW_TO_WAIT = "Add follow=true to wait for it."


@frozen
class LogRequest:
    """A client's request for the log of a task.

    Attributes:
        task: The id of the task, or None. Without an id, the task that failed first has priority,
            then a running task. :func:`.followed_try.choose` has all rules.
        map_index: The map index of a mapped task's instance, or None. Without a map index, the same
            rules choose the instance.
        try_number: The number of the try, or None for the newest try.
        tail: The maximum number of lines from the existing log. Earlier lines are left out. None
            for all lines.
        follow: Whether to wait for later lines until the task has ended.
        positions: Whether the response contains lines with a :class:`.LogPosition`, from which a
            later request can continue.
        after: The position after the last line of an earlier response. The response begins at this
            position. None if the client does not continue an earlier response.
    """

    task: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    tail: int | None = None
    follow: bool = False
    positions: bool = False
    after: LogPosition | None = None


class RunOfLog(NamedTuple):
    """The run to which the requested log belongs.

    Attributes:
        dag_id: The id of the DAG.
        run_id: The id of the run.
        attempt: The number of the MLJob's attempt.
    """

    dag_id: str
    run_id: str
    attempt: int


@dataclass(slots=True)
class _Watched:
    """The try whose log the client currently reads.

    Attributes:
        fact: The latest state of the task instance.
        number: The number of the try.
        log: The log of the try.
        sink: Writes the lines to the client.
        announced: Whether the response already says that another try follows.
        pause: The longest time until the next request for the log, in seconds. If the run changes,
            the next request follows at once.
    """

    fact: TaskFact
    number: int
    log: TryLog
    sink: Sink
    announced: bool = False
    pause: float = SHORTEST

    @property
    def key(self) -> TaskKey:
        return self.fact.key


class TaskLogWriter:
    """Writes the log of a task to a client.

    Args:
        request: The client's request.
        dag_runs: Returns the :class:`.DagRuns` that sends requests to the run's Airflow.
        run: The run.
        redaction: Hides secret values in texts.
        output: The body of the response.
        turn: Limits the number of concurrent requests for logs.
        place: The request's place among the requests that keep the last lines of a log. It is taken
            only while ``tail`` reads the existing log and until its last lines are written.
        until: When the response must end if the client follows the log, in seconds of
            ``time.monotonic``.
    """

    def __init__(
        self,
        request: LogRequest,
        dag_runs: Callable[[], Awaitable[DagRuns]],
        run: RunOfLog,
        redaction: Redaction,
        output: Output,
        *,
        turn: asyncio.Semaphore,
        place: TailPlace,
        until: float,
    ) -> None:
        self._turn = turn
        self._place = place
        self._request = request
        self._dag_runs = dag_runs
        self._run = run
        self._redaction = redaction
        self._output = output
        self._until = until

    async def once(self, reading: Reading) -> None:
        """Write the lines that the log has now, without waiting for later lines.

        Raises:
            Refusal: The task does not exist, the try has not started, Airflow has no log of the
                try, or too many requests keep the last lines of a log.
            OperatorError: Airflow fails before the response has begun, or has failed for 120
                seconds (``try_log.PATIENCE``).
        """
        watched = self._begin(reading)
        if watched is None:
            raise Refusal(404, f"No task of the run has started yet. {_HOW_TO_WAIT}")
        fact, number = watched.fact, watched.number
        state = try_state(fact, number, run_has_ended=reading.has_ended)
        if state is TryState.WAITING:
            raise Refusal(
                400,
                f"Try {number} of task {_name(fact.key)} has not started: its state is {fact.state}. {_HOW_TO_WAIT}",
            )
        if not await self._pump(watched):
            raise Refusal(404, f"Task {_name(fact.key)} has no log of try {number}. Its state is {fact.state}.")
        while watched.log.is_behind:
            await asyncio.sleep(SHORTEST)
            await self._pump(watched)

    async def follow(self, followed: FollowedRun) -> None:
        """Write the lines that the log has now, and then later lines.

        The response ends as soon as one of these statements is true:

        - The task has ended.
        - The run has ended, and the task is not active.
        - The try has ended, if the client has requested a try by its number.
        - The run is deleted.
        - The response has reached its limit of bytes or time.

        Raises:
            Refusal: The task does not exist, the MLJob or its AirflowInstance was deleted, no
                access rule lets the MLJob's namespace run the DAG, too many requests keep the last
                lines of a log, or mljob-api has an unexpected error.
            OperatorError: Airflow fails before the response has begun, or has failed for 120
                seconds (``readings.PATIENCE`` and ``try_log.PATIENCE``).
        """
        watched: _Watched | None = None
        while True:
            reading = followed.reading
            if watched is not None and reading.run is None:
                await self._notice("Airflow does not have the run any more.")
                return
            watched = self._watched(watched, reading)
            if watched is None:
                if reading.has_ended:
                    await self._notice("No such task of the run has started.")
                    return
                await self._output.begin()
            elif await self._write_new_lines(watched, reading):
                return
            if not await self._wait(followed, watched.pause if watched is not None else LONGEST):
                return

    def _watched(self, before: _Watched | None, reading: Reading) -> _Watched | None:
        """Return the current try (``before``) if its task instance still exists. Otherwise choose a
        task instance, and return its try. Return None if no task instance can be chosen yet.

        When Airflow expands a mapped task, the instance with map index -1 no longer exists.
        """
        if before is not None and (fact := _find(reading, before.key)) is not None:
            before.fact = fact
            return before
        return self._begin(reading, is_first=before is None or not before.log.was_read)

    def _begin(self, reading: Reading, *, is_first: bool = True) -> _Watched | None:
        """Return the try whose log is written from now on. Return None if no task instance can be
        chosen yet.

        Args:
            reading: The state of the run.
            is_first: Whether the request's ``tail`` and ``after`` apply. They don't apply if the
                log of another task instance was already written.

        Raises:
            Refusal: The run does not have the requested task or map index.
        """
        after = self._request.after if is_first else None
        if after is not None and (fact := _find(reading, (after.task_id, after.map_index))) is not None:
            return self._try(fact, after.try_number, lambda write: From(after.line, write))
        fact = self._choose(reading)
        if fact is None:
            return None
        number = self._request.try_number or max(fact.try_number, 1)
        return self._try(fact, number, self._tail if is_first else None)

    def _tail(self, write: Sink) -> Sink:
        tail = self._request.tail
        return write if tail is None else Tail(tail, write)

    def _try(self, fact: TaskFact, number: int, choose: Callable[[Sink], Sink] | None = None) -> _Watched:
        """Return a new :class:`_Watched` for one try of a task.

        Args:
            fact: The task instance.
            number: The number of the try.
            choose: Gets the sink that writes to the client, and returns a sink that leaves out some
                lines. None to write all lines.
        """
        run, key = self._run, fact.key
        lines = Lines(LogPosition(run.attempt, *key, number, 0), self._output.write, positions=self._request.positions)
        of = TaskTry(run.dag_id, run.run_id, key, number)
        log = TryLog(self._dag_runs, of, self._redaction, self._output, self._turn)
        return _Watched(fact, number, log, lines if choose is None else choose(lines))

    async def _pump(self, watched: _Watched) -> bool:
        """Read the new lines of the try, and return whether Airflow has a log of the try. While the
        lines are kept in memory, the request has a place (:class:`.TailPlace`).
        """
        tail = watched.sink if isinstance(watched.sink, Tail) else None
        if tail is not None and not tail.is_over:
            await self._place.take()
        found = await watched.log.pump(watched.sink)
        if tail is None or not tail.has_lines:
            self._place.free()
        return found

    async def _write_new_lines(self, watched: _Watched, reading: Reading) -> bool:
        """Write the new lines of the try, and return whether the response is complete.

        If a later try exists, and the client has not requested a try by its number, change
        ``watched`` to the next try.
        """
        fact, number = watched.fact, watched.number
        state = try_state(fact, number, run_has_ended=reading.has_ended)
        if state is not TryState.WAITING:
            await self._pump(watched)
        await self._output.begin()
        if watched.log.is_behind and not self._output.is_full:
            watched.pause = LONGEST
            return False
        one_try = self._request.try_number is not None and state in (TryState.RETRYING, TryState.SUPERSEDED)
        if self._output.is_full or state is TryState.ENDED or one_try:
            if not self._output.size and self._request.after is None:
                await self._notice(f"Task {_name(fact.key)} has written no log. Its state is {fact.state}.")
            return True
        if state is TryState.SUPERSEDED:
            await self._notice(f"Try {number} of task {_name(fact.key)} is over. Try {number + 1} follows.")
            sink_of = self._tail if not watched.log.was_read else None
            following = self._try(fact, number + 1, sink_of)
            watched.number, watched.log, watched.sink = following.number, following.log, following.sink
            watched.announced, watched.pause = False, 0.0
            return False
        if state is TryState.RETRYING and not watched.announced:
            watched.announced = True
            await self._notice(f"Try {number} of task {_name(fact.key)} is over. Another try follows.")
        longer = SHORTEST if watched.log.has_news else min(max(watched.pause, SHORTEST) * 1.5, LONGEST)
        watched.pause = longer if state is TryState.ACTIVE else LONGEST
        return False

    def _choose(self, reading: Reading) -> TaskFact | None:
        asked = self._request
        fact = choose(reading.tasks, asked.task, asked.map_index)
        if fact is None and asked.task is not None and reading.tasks:
            names = sorted({found.task_id for found in reading.tasks})
            if asked.task in names:
                raise Refusal(404, f"Task {asked.task} has no instance with map index {asked.map_index}.")
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            raise Refusal(
                404,
                f"The run has no task {asked.task!r}{meant(asked.task, names)}. It has {', '.join(names[:MAX_NAMES])}{more}.",
            )
        return fact

    async def _wait(self, followed: FollowedRun, seconds: float) -> bool:
        """Wait for a change of the run, for at most ``seconds`` seconds. Then return True.

        If the response has reached its time limit, write a notice and return False without waiting.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            await self._notice(LOG_GOES_ON.removeprefix(LOG_NOTICE))
            return False
        await followed.change(min(seconds, left))
        return True

    async def _notice(self, text: str) -> None:
        await self._output.write(notice(text))


def _find(reading: Reading, key: TaskKey) -> TaskFact | None:
    return next((fact for fact in reading.tasks if fact.key == key), None)


def _name(key: TaskKey) -> str:
    task_id, map_index = key
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"
