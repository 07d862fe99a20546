"""Reads the events of a Kafka topic, and passes the events to the workers of their MLJobs.

The dag run id of a run that the operator submitted names the MLJob. Airflow makes the ids of a
backfill's runs, so these ids do not name the MLJob. For an event of such a run, the reader looks
for the MLJob among the MLJobs that have a backfill of the event's DAG.

A message is done when a status with the message's content is stored, or when no MLJob needs the
message. If the status of an MLJob can't be stored, the oldest messages of many count as done. An
unreadable message is done at once. Every second, the reader commits an offset for each partition:
the offset of the first message that is not done, or a higher offset if this message is too old
(:mod:`.offsets`).

A metric counts the unreadable messages. If the settings name a dead-letter topic, the reader sends
the unreadable messages to this topic. For each kind of error, the log names only the first message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial

from mljob_contract.run_id import RunId

from ..controllers.mljob.controller import MLJobController
from ..core.run.events import Unreadable, read
from ..core.run.offsets import Offsets, Partition
from ..core.run.run_key import in_any_of
from ..ports import Clock, EventSource, Message, Meter

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 20_000
"""The number of messages that are not done above which the reader stops fetching messages. So many
messages mean that the Kubernetes API is probably slow or unavailable. The reader fetches messages
again when the number is half as large.
"""


class TopicReader:
    """Reads the events of one Kafka topic, and passes each event to the worker of its MLJob.

    Args:
        source: The consumer of the topic.
        controller: Receives the changes of runs and tasks that the events report.
        clock: Returns the current time.
        meter: Records the metrics.
        origins: Receives the field ``source`` of an event, or None if the event lacks the field.
            Returns the names of the Airflows that may have sent the event.
        prefix: The prefix of the operator's dag run ids. The reader ignores events of runs without
            this prefix, unless the run belongs to the backfill of an MLJob.
        commit_interval: Seconds between commits.
    """

    def __init__(
        self,
        source: EventSource,
        controller: MLJobController,
        clock: Clock,
        meter: Meter,
        *,
        origins: Callable[[str | None], Collection[str]],
        prefix: str,
        commit_interval: float = 1.0,
    ) -> None:
        self._source = source
        self._controller = controller
        self._clock = clock
        self._meter = meter
        self._origins = origins
        self._prefix = prefix
        self._commit_interval = commit_interval
        self._offsets = Offsets()
        self._reported_kinds: set[str] = set()
        self._paused = False

    async def run(self) -> None:
        """Read events until the asyncio task is cancelled. Then commit for each partition the
        offset of the first message that is not done, and leave the consumer group.
        """
        self._source.start(self.deliver, self.revoked)
        try:
            while True:
                await asyncio.sleep(self._commit_interval)
                self._commit()
                self._meter.in_flight(self._offsets.in_flight)
        finally:
            self._commit()
            await self._source.close()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Pass messages to the workers of the MLJobs. The consumer calls this method in the event
        loop's thread.
        """
        now = self._clock()
        for message in messages:
            self._offsets.read(message.partition, message.offset)
            try:
                is_taken = self._pass_on(message, now)
            except Exception as error:
                # An error with one message must not stop the other messages of the batch.
                is_taken = False
                self._report_unreadable(message, error if isinstance(error, Unreadable) else _unexpected(error))
            if not is_taken:
                self._offsets.done(message.partition, message.offset)
        self._throttle()

    def _pass_on(self, message: Message, now: datetime) -> bool:
        """Pass the change of a run or task that a message reports to the worker of the run's MLJob.

        Returns:
            True if a worker has accepted the change. The worker later reports the message as done.
                False if no worker has accepted the change.

        Raises:
            Unreadable: The message can't be read.
        """
        if not message.value:
            self._meter.event("tombstone")
            return False
        envelope, done = read(message.value, now), partial(self._done, message)
        run = RunId.parse(envelope.run_id)
        candidates = in_any_of(self._origins(envelope.source), envelope.dag_id, envelope.run_id)
        if envelope.fact is None or not candidates:
            is_taken = False
        elif run is not None and run.prefix == self._prefix:
            self._controller.observe_event((run.namespace, run.name), candidates, envelope.fact, done)
            is_taken = True
        else:
            # The run may belong to a backfill. Airflow makes the ids of such runs, so the id does
            # not name the MLJob.
            is_taken = self._controller.observe_backfill_event(candidates, envelope.fact, done)
        self._meter.event("applied" if is_taken else "foreign")
        return is_taken

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit for each partition the offset of the first message that is not done. Then forget
        ``partitions``. The consumer calls this method when the consumer no longer reads these
        partitions.
        """
        self._commit()
        for partition in partitions:
            self._offsets.revoked(partition)
        # The messages of these partitions are no reason to pause any more.
        self._throttle()

    def _done(self, message: Message) -> None:
        self._offsets.done(message.partition, message.offset)
        if message.timestamp_ms > 0:
            self._meter.event_latency(max(0.0, time.time() - message.timestamp_ms / 1000))
        if self._paused:
            self._throttle()

    def _throttle(self) -> None:
        in_flight = self._offsets.in_flight
        pauses = in_flight > (MAX_IN_FLIGHT // 2 if self._paused else MAX_IN_FLIGHT)
        if pauses is not self._paused:
            self._paused = pauses
            self._source.pause(paused=pauses)
            log.warning(
                "%s fetching events: %d events are not in a stored status yet",
                "stopped" if pauses else "resumed",
                in_flight,
            )

    def _commit(self) -> None:
        if offsets := self._offsets.to_commit():
            self._source.commit(offsets)

    def _report_unreadable(self, message: Message, problem: Unreadable) -> None:
        self._meter.event("unreadable")
        if problem.kind not in self._reported_kinds:
            self._reported_kinds.add(problem.kind)
            topic, number = message.partition
            log.warning(
                "unreadable message (%s) in topic %s, partition %d, offset %d: %s; further messages of this kind are only counted",
                problem.kind,
                topic,
                number,
                message.offset,
                problem,
            )
        self._source.dead_letter(message, f"{problem.kind}: {problem}")


def _unexpected(error: Exception) -> Unreadable:
    return Unreadable("unexpected", type(error).__name__)
