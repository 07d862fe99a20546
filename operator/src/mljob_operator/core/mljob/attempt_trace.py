"""One attempt of an MLJob as a trace of OpenTelemetry: from the time when the attempt was due to the
stored verdict.

The ids of the trace and of its spans follow from the run's id and the number of the attempt. So
nothing has to be stored while the run goes on, and whoever knows the run finds its trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from mljob_contract.mljob import MLJobStatus, Phase

from ..frozen import frozen
from .job import Job
from .job_labels import JobLabels
from .timeline import Interval, Timeline

ROOT = "attempt"
"""The name of the span of the whole attempt."""


@frozen
class AttemptTrace:
    """The trace of an attempt that has ended.

    Attributes:
        run_id: The id of the attempt's dag run.
        number: The number of the attempt.
        whole: From the time when the attempt was due to the stored verdict.
        parts: The stages ``submission``, ``queue``, ``run`` and ``verdict``. A stage that was left
            out is missing.
        succeeded: Whether the attempt succeeded.
        attributes: What the trace says about the attempt. Nothing in it may be secret.
    """

    run_id: str
    number: int
    whole: Interval
    parts: Mapping[str, Interval]
    succeeded: bool
    attributes: Mapping[str, str | int]

    @property
    def trace_id(self) -> int:
        """The id of the trace, in 128 bits: the first half of SHA-256 over ``<run id>#<attempt>``."""
        return int.from_bytes(self._hash()[:16])

    def span_id(self, name: str) -> int:
        """Return the id of a span, in 64 bits."""
        return int.from_bytes(self._hash(f"/{name}")[:8])

    def _hash(self, part: str = "") -> bytes:
        return hashlib.sha256(f"{self.run_id}#{self.number}{part}".encode()).digest()

    @classmethod
    def of(cls, job: Job, status: MLJobStatus, stored_at: datetime) -> AttemptTrace | None:
        """Return the trace of the attempt that a status describes, or None if the attempt has not
        ended.

        Args:
            job: The MLJob.
            status: The status that tells the end of the attempt.
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
