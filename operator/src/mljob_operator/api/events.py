"""Writes the events of a run to a client, from Kafka or from Airflow's REST API.

Events from the REST API cover only the newest try of each task, without progress and metrics.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from mljob_contract.history import (
    MAX_CURSOR_LENGTH,
    EndReason,
    EntryError,
    HistoryEnd,
    HistoryEntry,
    HistoryNotice,
    MetricsReport,
    ProgressReport,
    RunChange,
    TaskChange,
    entry_line,
)

from ..core.conf.redaction import Redaction
from ..core.frozen import frozen
from ..core.run.events import MAX_TEXT, Unreadable, read
from ..core.run.facts import RunFact, TaskFact
from ..core.run.run_key import RunKey
from ..core.run.states import TaskState
from ..core.text.storable import cut
from ..ports import Message, RunHistory
from .errors import Refusal
from .output import Output
from .readings import FollowedRun, Reading

GET_SECONDS = 50.0
"""The maximum duration of the response to a GET, in seconds. The Kubernetes API server ends a GET
after 60 s (``--request-timeout``).
"""
LOOK_SECONDS = 5.0
"""The longest time between two checks of a run's readings, in seconds."""
LATE = 2.0
"""The maximum time, in seconds, from the end of a run until the last events of the run arrive. The
response does not wait for later events.
"""
MAX_ENTRIES = 200_000
"""The number of entries after which a response ends."""
_CURSOR = re.compile(r"\d{1,6}:\d{1,19}(?:,\d{1,6}:\d{1,19})*")


@frozen
class EventsRequest:
    """A client's request for events.

    Attributes:
        after: The offset of the first message to read, by partition. None for all messages.
        follow: Whether to wait for later events until the run has ended.
        seconds: The maximum duration of the response, in seconds.
    """

    after: Mapping[int, int] | None
    follow: bool
    seconds: float


def parse_cursor(text: str) -> Mapping[int, int]:
    """Parse the cursor of an earlier response. Return the offset of the next message, by partition.

    Raises:
        Refusal: The text is not a cursor.
    """
    if len(text) > MAX_CURSOR_LENGTH or not _CURSOR.fullmatch(text):
        raise Refusal(400, "after: is no cursor. Take the cursor from the last line of an earlier answer.")
    pairs = (pair.split(":") for pair in text.split(","))
    return {int(number): int(offset) for number, offset in pairs}


class EventsWriter:
    """Writes the events of a run to a client. The response has one line of JSON for each entry, and
    may have heartbeats between the lines.

    An entry is a change of the run or of a task, the progress or metrics of a task, a notice to the
    client, or the end of the response.

    Args:
        key: The run.
        request: The client's request.
        redaction: Hides secret values in texts.
        output: The body of the response.
        followed: Reads the state of the run from Airflow repeatedly.
        until: When the response must end, in seconds of ``time.monotonic``.
    """

    def __init__(
        self,
        key: RunKey,
        request: EventsRequest,
        redaction: Redaction,
        output: Output,
        followed: FollowedRun,
        until: float,
    ) -> None:
        self._key = key
        self._request = request
        self._redaction = redaction
        self._output = output
        self._followed = followed
        self._until = until
        self._entries = 0
        self._ended_at: float | None = None
        self._ended_tries: set[tuple[str, int, int]] = set()
        self.cursor: str | None = None
        """The position after the last entry."""

    async def from_kafka(self, history: RunHistory, is_origin: Callable[[str | None], bool]) -> None:
        """Write the events from Kafka to the client.

        The last entry says why the response ends: there are no more events, or the response has
        reached its limit of entries, bytes or time.

        Args:
            history: Reads the messages of the run.
            is_origin: Returns whether a message may come from the run's Airflow. The argument is
                the source that the message names, or None if the message names no source.

        Raises:
            OperatorError: Kafka or Airflow fails.
            Refusal: The run can't be followed any more (:attr:`.FollowedRun.reading`).
        """
        if history.incomplete:
            await self._write(
                [HistoryNotice(message="Kafka has deleted older events. Events of the run may be missing.")]
            )
        while True:
            batch = await history.read(self._convert)
            lines = [line for source, found in batch.items if is_origin(source) for line in found]
            self.cursor = ",".join(f"{number}:{offset}" for number, offset in sorted(batch.positions.items()))
            if lines:
                await self._send(lines)
            quiet = batch.caught_up and not batch.items
            if (batch.caught_up and not self._request.follow) or (quiet and self._is_over()):
                return await self.end(EndReason.COMPLETE, "These are all events.")
            if await self._is_full():
                return None

    async def from_rest(self) -> None:
        """Write the states of the tasks and of the run from Airflow's REST API to the client.

        The last entry says why the response ends: there are no more events, or the response has
        reached its limit of entries, bytes or time.

        Raises:
            OperatorError: Airflow fails.
            Refusal: The run can't be followed any more (:attr:`.FollowedRun.reading`).
        """
        await self._write(
            [
                HistoryNotice(
                    message="Events are not read from Kafka. These are the newest tries, as Airflow's REST API has them."
                )
            ]
        )
        sent: set[object] = set()
        while True:
            reading = self._followed.reading
            unsent = [entry for entry in entries_of(reading) if _identity(entry) not in sent]
            sent.update(map(_identity, unsent))
            await self._write(unsent)
            if reading.has_ended or not self._request.follow:
                return await self.end(EndReason.COMPLETE, "These are all events.")
            await self._followed.change(max(0.0, min(LOOK_SECONDS, self._until - time.monotonic())))
            if await self._is_full():
                return None

    async def end(self, reason: EndReason, message: str) -> None:
        """Write the last entry of the response.

        Args:
            reason: Why the response ends.
            message: The reason in words.
        """
        await self._write([HistoryEnd(reason=reason, message=self._redaction.text(message), cursor=self.cursor)])

    def _is_over(self) -> bool:
        """Return whether at least ``LATE`` seconds have passed since this method first found that
        the run has ended. The last events of a run may take this long to arrive.
        """
        if not self._followed.reading.has_ended:
            self._ended_at = None
            return False
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        return time.monotonic() - self._ended_at >= LATE

    async def _is_full(self) -> bool:
        """Return whether the response has reached its limit of entries, bytes or time. If so, also
        write the last entry. Otherwise, send a heartbeat if the response was silent for some
        seconds (:meth:`.Output.keep_alive`).
        """
        if self._entries >= MAX_ENTRIES or self._output.is_full:
            await self._end_at_limit("size")
            return True
        if time.monotonic() >= self._until:
            await self._end_at_limit("time")
            return True
        await self._output.keep_alive()
        return False

    async def _end_at_limit(self, limit: str) -> None:
        again = "Ask again with after=<cursor>." if self.cursor is not None else "Ask again."
        await self.end(EndReason.LIMIT, f"The answer has reached the limit of its {limit}. {again}")

    async def _write(self, entries: Sequence[HistoryEntry]) -> None:
        if entries:
            await self._send([entry_line(entry) for entry in entries])

    async def _send(self, lines: Sequence[bytes]) -> None:
        self._entries += len(lines)
        await self._output.write(b"".join(lines))

    def _convert(self, message: Message) -> list[tuple[str | None, list[bytes]]]:
        """Return a list with one pair: the source that the message names (or None), and the lines
        for the client. Return an empty list if the message is not a readable event about the run or
        its tasks, or if the event is a repetition (:meth:`_is_repeated`).
        """
        if message.value is None:
            return []
        try:
            envelope = read(message.value, datetime.now(UTC))
        except Unreadable:
            return []
        if (envelope.dag_id, envelope.run_id) != (self._key.dag_id, self._key.run_id) or envelope.fact is None:
            return []
        if self._is_repeated(envelope.fact):
            return []
        return [(envelope.source, [entry_line(entry) for entry in entries_of_fact(envelope.fact, self._redaction)])]

    def _is_repeated(self, fact: TaskFact | RunFact) -> bool:
        """Return whether an event of Airflow's own producer reports the failure of a try that the
        MLJob provider has already reported. Also remember each failure that the provider reports.

        Only the provider's event shows whether a retry follows (``fact.certain`` is True). So the
        event of Airflow's own producer adds nothing to an earlier event of the provider.
        """
        if isinstance(fact, RunFact):
            return False
        this = fact.task_id, fact.map_index, fact.try_number
        if not fact.certain:
            return this in self._ended_tries
        if fact.state in (TaskState.FAILED, TaskState.UP_FOR_RETRY):
            self._ended_tries.add(this)
        return False


def entries_of_fact(fact: TaskFact | RunFact, redaction: Redaction) -> Iterator[HistoryEntry]:
    """Yield the entries of the response for ``fact``, the content of one Kafka event. ``redaction``
    hides secret values in error texts and in the names of metrics.
    """
    if isinstance(fact, RunFact):
        yield RunChange(time=fact.occurred_at, source=fact.source, state=fact.state)
        return
    about = {
        "time": fact.occurred_at,
        "source": fact.source,
        "task_id": fact.task_id,
        "map_index": fact.map_index,
        "try_number": fact.try_number,
    }
    progress, metrics, failure = fact.details.progress, fact.details.metrics, fact.details.failure
    if fact.state is not TaskState.RUNNING or (progress is None and metrics is None):
        error = None
        if failure is not None:
            kind = redaction.untrusted(failure.type) if failure.type is not None else None
            error = EntryError(type=kind, message=cut(redaction.untrusted(failure.message), MAX_TEXT))
        yield TaskChange(**about, state=fact.shown_state, start_time=fact.start, end_time=fact.end, error=error)
    if progress is not None and progress.progress is not None:
        yield ProgressReport(**about, progress=progress.progress)
    if metrics is not None and metrics.metrics:
        yield MetricsReport(
            **about, metrics={redaction.untrusted(name)[:63]: value for name, value in metrics.metrics.items()}
        )


def entries_of(reading: Reading) -> list[HistoryEntry]:
    """Return the entries for a run's state in Airflow.

    The entries of the task instances come first, sorted by start time. A task instance without a
    state has no entry. The entry of the run comes last.
    """
    found: list[HistoryEntry] = []
    for fact in sorted(reading.tasks, key=lambda fact: (fact.start or fact.occurred_at, fact.key)):
        if fact.state is not TaskState.NONE:
            found.append(
                TaskChange(
                    time=fact.end or fact.start or fact.occurred_at,
                    source=fact.source,
                    task_id=fact.task_id,
                    map_index=fact.map_index,
                    try_number=fact.try_number,
                    state=fact.state,
                    start_time=fact.start,
                    end_time=fact.end,
                )
            )
    if (run := reading.run) is not None:
        found.append(RunChange(time=run.end or run.start or run.occurred_at, source=run.source, state=run.state))
    return found


def _identity(entry: HistoryEntry) -> object:
    # The entry of a waiting task has another time after each request to Airflow.
    return entry.model_copy(update={"time": None})
