"""Records in metrics how long an attempt waited for its submission, waited in Airflow, and ran.
Exports a trace of each attempt that has ended.
"""

from __future__ import annotations

from mljob_contract.mljob import MLJobStatus

from ...core.mljob.attempt_trace import AttemptTrace
from ...core.mljob.resource.job import Job
from ...core.mljob.resource.job_labels import JobLabels
from ...core.mljob.timeline import Timeline, may_have_news
from ...core.run.states import TERMINAL_PHASES
from ...ports import Clock, JobMeter, Tracer


class Milestones:
    """Records in metrics and traces that an MLJob, an attempt or a stage of an attempt has ended.
    Each end is recorded at most once, by the process that stores the status with this end.

    Args:
        meter: The metrics of MLJobs.
        tracer: Exports the traces of attempts. If None, no traces are exported.
    """

    def __init__(self, meter: JobMeter, tracer: Tracer | None, clock: Clock) -> None:
        self._meter = meter
        self._tracer = tracer
        self._clock = clock

    def record(self, job: Job, old: MLJobStatus, new: MLJobStatus) -> None:
        """Record what has ended between two statuses: stages of the attempt, the attempt, or the
        MLJob.

        Args:
            job: The MLJob with the status ``new``.
            old: The status before ``new``.
            new: The status that this process has stored.
        """
        if not may_have_news(old, new):
            return
        labels = JobLabels.of(job)
        if new.phase in TERMINAL_PHASES and old.phase not in TERMINAL_PHASES:
            self._meter.finished(labels)
        timeline = Timeline.of(job, new)
        if timeline is None or new.dag_run_id is None:
            return
        news = timeline.news(Timeline.of(job, old))
        if news.submission is not None:
            self._meter.submission_wait(labels, news.submission.seconds, new.dag_run_id)
        if news.queue is not None:
            self._meter.queue_wait(labels, news.queue.seconds, new.dag_run_id)
        if news.run is not None:
            self._meter.run(labels, news.run.seconds, new.dag_run_id)
        if news.whole is not None and news.end is not None:
            self._meter.duration(labels, str(news.end[0]), news.whole.seconds, new.dag_run_id)
            self._export(job, new)

    def _export(self, job: Job, ended: MLJobStatus) -> None:
        if self._tracer is not None and (trace := AttemptTrace.of(job, ended, self._clock())) is not None:
            self._tracer.attempt_ended(trace)
