"""One attempt of an MLJob as an OpenTelemetry trace. The trace begins when the attempt was due, and
ends when the status with the attempt's result was stored. The first attempt is due when the MLJob
is created, and a later attempt when the previous attempt ends. A suspension, a changed spec or a
requested retry may make an attempt due later (:class:`.Timeline`).

The ids of the trace and of its spans are computed from the run's id and the number of the attempt,
so a reader of the status can compute the ids too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from mljob_contract.mljob import MLJobStatus, Phase

from ..frozen import frozen
from .resource.job import Job
from .resource.job_labels import JobLabels
from .timeline import Interval, Timeline

ROOT = "attempt"
"""The name of the span of the whole attempt."""


@frozen
class AttemptTrace:
    """The trace of an attempt that has ended.

    Attributes:
        run_id: The id of the attempt's dag run.
        number: The number of the attempt.
        whole: The interval of the whole trace.
        parts: The intervals of the stages ``submission``, ``queue``, ``run`` and ``verdict``, by
            name. ``verdict`` begins at the end of the attempt, and ends when the status with the
            attempt's result was stored. A stage that the attempt did not have, or whose times are
            not known, has no entry.
        succeeded: Whether the attempt succeeded.
        attributes: The attributes of the trace's spans, by name. They contain nothing secret.
    """

    run_id: str
    number: int
    whole: Interval
    parts: Mapping[str, Interval]
    succeeded: bool
    attributes: Mapping[str, str | int]

    @property
    def trace_id(self) -> int:
        """The id of the trace, a 128-bit integer: the first half of the SHA-256 of
        ``<run id>#<attempt>``.
        """
        return int.from_bytes(self._hash()[:16])

    def span_id(self, name: str) -> int:
        """Return the id of the span ``name``, a 64-bit integer: the first 8 bytes of the SHA-256 of
        ``<run id>#<attempt>/<name>``.
        """
        return int.from_bytes(self._hash(f"/{name}")[:8])

    def _hash(self, part: str = "") -> bytes:
        return hashlib.sha256(f"{self.run_id}#{self.number}{part}".encode()).digest()

    @classmethod
    def of(cls, job: Job, status: MLJobStatus, stored_at: datetime) -> AttemptTrace | None:
        """Return the trace of the attempt that a status describes. Return None if the attempt has
        not ended or has no run, or if the time when the attempt was due is not known.

        Args:
            job: The MLJob.
            status: The status with the end of the attempt.
            stored_at: When the status was stored.
        """
        timeline = Timeline.of(job, status)
        if timeline is None or timeline.whole is None or timeline.end is None or status.dag_run_id is None:
            return None
        ended_at, (phase, reason) = timeline.whole.ends_at, timeline.end
        labels = JobLabels.of(job)
        stages = {
            "submission": timeline.submission,
            "queue": timeline.queue,
            "run": timeline.run,
            "verdict": Interval(ended_at, max(ended_at, stored_at)),
        }
        return cls(
            run_id=status.dag_run_id,
            number=timeline.number,
            whole=Interval(timeline.whole.begins_at, max(ended_at, stored_at)),
            parts={name: stage for name, stage in stages.items() if stage is not None},
            succeeded=phase is Phase.SUCCEEDED,
            attributes={
                "k8s.namespace.name": job.namespace,
                "mljob.name": job.name,
                "mljob.type": labels.type,
                "mljob.attempt": timeline.number,
                "mljob.phase": str(phase),
                "mljob.reason": reason,
                "mljob.airflow_instance": labels.airflow,
                "airflow.dag_id": status.dag_id or "",
                "airflow.dag_run.run_id": status.dag_run_id,
            },
        )
