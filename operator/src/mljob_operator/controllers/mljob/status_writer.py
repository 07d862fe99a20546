"""Stores statuses, and records the Kubernetes Events about their changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mljob_contract.mljob import MLJobStatus

from ...core.conf.redaction import Redaction
from ...core.mljob.job import Job
from ...core.mljob.state import State
from ...core.run.outputs import Outputs
from ...core.run.run_key import Key
from ...core.run.states import TERMINAL_PHASES
from ...core.status.build import report
from ...core.status.disclosure import disclosed
from ...core.status.events import WARNING, KubeEvent, events_of
from ...core.status.messages import MAX_MESSAGE
from ...core.status.news import is_significant
from ...core.status.patches import merge_patch
from ...core.status.tasks import TaskEntries
from ...core.text.storable import cut
from ...errors import OperatorError, Refused
from ...logs import redacted_logger
from ...ports import JobStore, Meter

log = redacted_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of a status.

    Attributes:
        content: A JSON merge patch (RFC 7396).
        urgent: Whether the patch has news for readers, and not only more exact times.
    """

    content: Mapping[str, Any]
    urgent: bool


class StatusWriter:
    """Writes the statuses of MLJobs, and the Events about their changes.

    The reconciler writes past this class where an action itself is a write: ``submittedBy``, which
    takes over an attempt, and the Events about child runs.

    Args:
        jobs: The MLJobs in the Kubernetes API.
    """

    def __init__(self, jobs: JobStore, meter: Meter) -> None:
        self._jobs = jobs
        self._meter = meter
        self._background: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> set[asyncio.Task[None]]:
        """Events that are being recorded."""
        return self._background

    async def store(self, job: Job, patch: Patch) -> Job:
        """Store a status and record its Events; the stored MLJob.

        Raises:
            StoreError: The Kubernetes API fails, or refuses the status.
        """
        started = time.perf_counter()
        written = await self._jobs.write_status(job, patch.content)
        self._meter.status_written(time.perf_counter() - started)
        self._tell(written, job.status, written.status)
        return written

    def tell_of_refusal(self, job: Job, error: Refused, redaction: Redaction, *, first: bool) -> None:
        """Count a status that the API server refused as invalid, and report the first one by an
        Event.

        Further facts would not make the status valid, so the caller drops the observed run.
        """
        self._meter.status_refused()
        if first:
            # The error may quote the status, which is redacted already, and the rest of the object.
            why = redaction.text(str(error))
            message = f"The Kubernetes API refused a status of this MLJob. The operator drops this status and reads the run from Airflow again. {why}"
            self._record(job, KubeEvent(WARNING, "StatusRefused", cut(message, MAX_MESSAGE)))

    async def tell_of_abandonment(self, state: State, redaction: Redaction) -> None:
        """Report a run that may still be active although its MLJob is released.

        The Event is recorded before the MLJob is gone, because the Event then is the only trace of
        the run in Kubernetes.
        """
        job, run = state.job, state.run
        last_error = disclosed(state, None, redaction)[0].transient.last_error
        message = (
            f"Gave up cancelling run {run.run_id} of DAG {run.dag_id} after "
            f"{job.spec.cancellation.timeout_seconds} s: it may still be active in Airflow. "
            f"{last_error.message if last_error else 'Airflow did not end it.'}"
        )
        log.warning("%s/%s: %s", *job.key, message, extra=extra(job.key))
        # A namespace that is being deleted refuses the Event at once.
        await self._recorded(job, KubeEvent(WARNING, "CancellationAbandoned", message[:MAX_MESSAGE]))

    def tell_of_contradiction(self, state: State, count: int, *, first: bool) -> None:
        """Count events that Airflow has contradicted, and log the first one of a run."""
        self._meter.events_disbelieved(count)
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
        """Wait up to 2 s for Events that are being recorded."""
        if self._background:
            await asyncio.wait(self._background, timeout=2)

    def _tell(self, job: Job, old: MLJobStatus, new: MLJobStatus) -> None:
        for notice in events_of(old, new):
            self._record(job, notice)
        if new.phase in TERMINAL_PHASES and old.phase not in TERMINAL_PHASES:
            self._meter.job_finished(str(new.phase))
        if new.phase != old.phase:
            log.info(
                "%s/%s: %s, %s",
                job.namespace,
                job.name,
                new.phase,
                new.message,
                extra={**extra(job.key), "run_id": new.dag_run_id, "phase": str(new.phase), "reason": new.reason},
            )

    def _record(self, job: Job, notice: KubeEvent) -> None:
        """Create a Kubernetes Event in the background, so that it does not delay a status."""
        task = asyncio.create_task(self._recorded(job, notice))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recorded(self, job: Job, notice: KubeEvent) -> None:
        try:
            await self._jobs.record(job, notice)
        except OperatorError as error:
            log.warning("%s/%s: event %s was not recorded: %s", *job.key, notice.reason, error, extra=extra(job.key))


def difference(
    state: State, outputs: Outputs | None, *, ui_url: str | None, redaction: Redaction, entries: TaskEntries
) -> Patch | None:
    """The patch from the stored status to the current status; None: there is no difference."""
    job = state.job
    status = report(state, ui_url=ui_url, outputs=outputs, redaction=redaction, entries=entries)
    patch = merge_patch(job.stored_status, status)
    if not patch:
        return None
    return Patch(patch, job.misread or not state.current.open or is_significant(job.stored_status, status))


def extra(key: Key) -> dict[str, str]:
    """The fields of a JSON log line about an MLJob."""
    return {"namespace": key[0], "job": key[1]}
