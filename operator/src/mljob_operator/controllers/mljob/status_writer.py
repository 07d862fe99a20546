"""Stores the statuses of MLJobs, and records Kubernetes Events about changes of the statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mljob_contract.mljob import MLJobStatus

from ...core.conf.redaction import Redaction
from ...core.frozen import frozen
from ...core.mljob.actions import Action, Wait
from ...core.mljob.classification.state import Stage, State
from ...core.mljob.resource.job import Job
from ...core.run.outputs import Outputs
from ...core.run.run_key import Key
from ...core.run.states import TERMINAL_PHASES
from ...core.status.build import report
from ...core.status.disclosure import redacted_state
from ...core.status.events import WARNING, KubeEvent, events_of
from ...core.status.messages import MAX_MESSAGE
from ...core.status.patches import merge_patch
from ...core.status.significance import is_significant, shows_nothing_new
from ...core.status.tasks import RunTasks
from ...core.text.storable import cut
from ...errors import OperatorError, Refused
from ...logs import redacted_logger
from ...ports import Meter
from .event_limits import EventLimits
from .milestones import Milestones
from .queued_jobs import QueuedJobs
from .write_queue import Priority

log = redacted_logger(__name__)

LAST_EVENTS = 0.4
"""The longest time in seconds for the Events that are being recorded when the process is told to
end. Another replica waits for this time too. An Event that takes longer may still be recorded.
"""

ABANDONMENT_WAITS = 3.0
"""The longest time in seconds that the deletion of an MLJob waits for the Event about an abandoned
cancellation.
"""

BUSY = 0.5
"""The average number of writes under way from which the Kubernetes API server counts as busy."""
MOST_INTERVALS = 8.0
"""The pause between two patches about an MLJob's progress grows with the square of the average
number of writes under way. With ``BUSY`` writes, it reaches its maximum: ``MOST_INTERVALS``.
"""
LEFT_OUT_WHEN_BUSY = frozenset({"Running"})
"""The reasons of the Events that are not recorded while the Kubernetes API server is busy or writes
of the namespace wait, because the status shows the same information.
"""


@frozen
class Patch:
    """A change of an MLJob's status, in the form in which it is sent to the Kubernetes API.

    Attributes:
        content: A JSON merge patch (RFC 7396).
        urgent: Whether the patch must be sent at once. False if the stored status is valid, an
            attempt is in progress, and the patch only makes times more exact
            (:func:`.is_significant`).
    """

    content: Mapping[str, Any]
    urgent: bool


class StatusWriter:
    """Writes the statuses of MLJobs, and the Events about changes of the statuses.

    Args:
        jobs: The MLJobs in the Kubernetes API.
        meter: Measures the writes.
        milestones: Records in metrics and traces that a stage, an attempt or an MLJob has ended.
        wake: Starts a reconciliation of an MLJob. This function is called when the MLJob has waited
            in the queue of writes, and the MLJob's status may be stored now.
    """

    def __init__(self, jobs: QueuedJobs, meter: Meter, milestones: Milestones, wake: Callable[[Key], None]) -> None:
        self._jobs = jobs
        self._writes = jobs.writes
        self._meter = meter
        self._milestones = milestones
        self._wake = wake
        self._background: set[asyncio.Task[None]] = set()
        self._event_limits = EventLimits()

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The asyncio tasks that are recording Kubernetes Events."""
        return self._background

    @property
    def progress_intervals(self) -> float:
        """The number of ``min_interval`` that pass between two patches about the progress of an
        MLJob. The number grows with the load of the Kubernetes API server, from 1 to
        ``MOST_INTERVALS``.
        """
        return min(max(1.0, MOST_INTERVALS * (self._writes.load / BUSY) ** 2), MOST_INTERVALS)

    def has_turn(self, key: Key, priority: Priority) -> bool:
        """Return whether the status of an MLJob may be stored now. If not, the MLJob waits in the
        queue of writes. At the MLJob's turn, ``wake`` is called.
        """
        return self._writes.has_turn(key, priority, partial(self._wake, key))

    def joins_queue(self, key: Key, priority: Priority) -> bool:
        """If writes of an MLJob's namespace wait in the queue, let the MLJob wait there as well, and
        return True. At the MLJob's turn, ``wake`` is called. If no write of the namespace waits, or
        if the MLJob has a turn already, return False.
        """
        return self._writes.has_waiting(key[0]) and not self.has_turn(key, priority)

    def waits(self, key: Key, priority: Priority) -> bool:
        """Return whether an MLJob waits in the queue of writes with this priority."""
        return self._writes.waits(key, priority)

    def end_step(self, key: Key, *, waits: bool) -> None:
        """Call this method after each reconciliation of an MLJob. If the MLJob has a turn in the
        queue of writes and has not used the turn, the next write in the queue gets the turn.

        Args:
            key: The MLJob.
            waits: Whether the MLJob still waits for a turn. If false, the MLJob is removed from the
                queue.
        """
        self._writes.end_turn(key)
        if not waits:
            self._writes.leave(key)

    async def store(self, job: Job, patch: Patch, priority: Priority = Priority.SUBMISSION) -> tuple[Job, float]:
        """Wait for the turn of this write in the queue of writes, and store the status. Then record
        Events about the changes of the status, in the background.

        Args:
            job: The version of the MLJob that the patch was made from.
            patch: The change of the status.
            priority: The priority of the write.

        Returns:
            The stored MLJob, and when the patch was sent, in seconds of the event loop's clock.

        Raises:
            StoreError: The Kubernetes API fails or refuses the status, or the MLJob has changed or
                was deleted meanwhile.
        """
        written, sent_at = await self._jobs.store_status(job, patch.content, priority)
        self._meter.status_written(asyncio.get_running_loop().time() - sent_at)
        self._record_changes(written, job.status, written.status)
        return written, sent_at

    def report_refusal(self, job: Job, error: Refused, redaction: Redaction, *, first: bool) -> None:
        """Count a status that the Kubernetes API server refused as invalid. If ``first`` is true,
        also record an Event.

        The caller has to drop the observed facts about the run, because the same facts would make
        an invalid status again.

        Args:
            job: The MLJob.
            error: The API server's refusal.
            redaction: Redacts values from Secrets in the error's message.
            first: False if the API server also refused the previous status of the MLJob.
        """
        self._meter.status_refused()
        if first:
            # The error may quote the MLJob. The MLJob's status is redacted, but the other parts of
            # the MLJob are not.
            why = redaction.text(str(error))
            message = f"The Kubernetes API refused a status of this MLJob. The operator drops this status and reads the run from Airflow again. {why}"
            self._record(job, KubeEvent(WARNING, "StatusRefused", cut(message, MAX_MESSAGE)))

    async def report_abandonment(self, state: State, redaction: Redaction) -> None:
        """Log and record as an Event that the operator has given up cancelling a run. The MLJob is
        being deleted, so the Event is the last trace of the run in the Kubernetes API. A failure to
        record the Event is only logged.

        Return after ``ABANDONMENT_WAITS`` (3 seconds) at the latest. An Event that takes longer is
        recorded in the background.
        """
        job, run = state.job, state.run
        last_error = redacted_state(state, None, redaction)[0].transient.last_error
        message = (
            f"Gave up cancelling run {run.run_id} of DAG {run.dag_id} after "
            f"{job.spec.cancellation.timeout_seconds} s: it may still be active in Airflow. "
            f"{last_error.message if last_error else 'Airflow did not end it.'}"
        )
        log.warning("%s/%s: %s", *job.key, message, extra=extra(job.key))
        event = KubeEvent(WARNING, "CancellationAbandoned", message[:MAX_MESSAGE])
        # The Event comes before the removal of the finalizer, because the operator may end in
        # between. The wait is short, because an admission webhook for Events may not answer, and
        # must not prevent the deletion.
        await asyncio.wait([self._record_in_background(job, event, Priority.RELEASE)], timeout=ABANDONMENT_WAITS)

    def report_contradiction(self, state: State, count: int, *, first: bool) -> None:
        """Count Kafka events that Airflow's REST API has contradicted. If ``first`` is true, also log
        a warning.

        Args:
            state: The state of the MLJob.
            count: The number of contradicted events that were not counted before.
            first: Whether no event of the run was contradicted before.
        """
        self._meter.events_contradicted(count)
        if first:
            job, run = state.job, state.run
            log.warning(
                "%s/%s: Airflow contradicts an event about run %s of DAG %s, so the status does not show the event any more; further ones of this run are only "
                "counted. The cause is a worker that stores the end of its task late, or another producer that writes to the topic",
                *job.key,
                run.run_id,
                run.dag_id,
                extra={**extra(job.key), "run_id": run.run_id},
            )

    async def close(self) -> None:
        """Wait for the Kubernetes Events that are being recorded, for up to ``LAST_EVENTS``
        seconds. Cancel the requests of the Events that take longer.
        """
        if not self._background:
            return
        _, late = await asyncio.wait(self._background, timeout=LAST_EVENTS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
            log.warning("%d Kubernetes Events were not recorded before the operator ended", len(late))

    def _record_changes(self, job: Job, old: MLJobStatus, new: MLJobStatus) -> None:
        is_busy = self._writes.has_waiting(job.namespace) or self._writes.load >= BUSY
        for event in events_of(old, new):
            if event.reason not in LEFT_OUT_WHEN_BUSY or not is_busy:
                self._record(job, event)
        self._milestones.record(job, old, new)
        if new.phase != old.phase:
            log.info(
                "%s/%s: %s, %s",
                job.namespace,
                job.name,
                new.phase,
                new.message,
                extra={**extra(job.key), "run_id": new.dag_run_id, "phase": str(new.phase), "reason": new.reason},
            )

    def _record(self, job: Job, event: KubeEvent) -> None:
        """Create a Kubernetes Event in the background. If too many Events wait (:mod:`.event_limits`),
        the Event is left out.
        """
        if not self._event_limits.begin(job.namespace, event):
            log.debug("%s/%s: event %s is left out, because too many wait", *job.key, event.reason)
            return
        task = self._record_in_background(job, event, Priority.EVENT)
        task.add_done_callback(lambda _: self._event_limits.end(job.namespace))

    def _record_in_background(self, job: Job, event: KubeEvent, priority: Priority) -> asyncio.Task[None]:
        task = asyncio.create_task(self._recorded(job, event, priority))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _recorded(self, job: Job, event: KubeEvent, priority: Priority) -> None:
        try:
            await self._jobs.record(job, event, priority)
        except OperatorError as error:
            log.warning("%s/%s: event %s was not recorded: %s", *job.key, event.reason, error, extra=extra(job.key))


def difference(
    state: State, outputs: Outputs | None, *, ui_url: str | None, redaction: Redaction, run_tasks: RunTasks
) -> Patch | None:
    """Return the patch from the stored status to the current status. Return None if the patch has
    no news for a reader (:func:`.shows_nothing_new`).

    Args:
        state: The state of the MLJob.
        outputs: The outputs of the run. None if the outputs were not read.
        ui_url: The base URL of Airflow's UI, for links in the status. None for no links.
        redaction: Redacts values from Secrets.
        run_tasks: The cache of the run's :class:`.RunTask` objects.
    """
    job = state.job
    status = report(state, ui_url=ui_url, outputs=outputs, redaction=redaction, run_tasks=run_tasks)
    patch = merge_patch(job.stored.content, status)
    if shows_nothing_new(patch, status):
        return None
    return Patch(patch, job.stored.is_invalid or not state.current.open or is_significant(patch, job.stored.content))


def priority_of(state: State, patch: Patch, action: Action) -> Priority:
    """Return the priority of a status write.

    Args:
        state: The state that the status shows.
        patch: The change of the status.
        action: The operator's next action for the MLJob. Unless the action is ``Wait``, the
            operator executes the action only after the write.
    """
    phase = patch.content.get("phase")
    if state.cancellation.reason is not None or state.job.deleting:
        return Priority.CANCELLATION
    if phase in TERMINAL_PHASES or state.stage is Stage.ENDED:
        return Priority.END
    if not isinstance(action, Wait) or (state.current.open and not state.current.submitted):
        return Priority.SUBMISSION
    return Priority.PROGRESS if phase is None else Priority.START


def extra(key: Key) -> dict[str, str]:
    """Return the fields that name an MLJob in a JSON log line."""
    return {"namespace": key[0], "job": key[1]}
