"""Computes when the stages of an attempt began and ended, from the metadata and the status of the
MLJob.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import attrgetter

from mljob_contract.mljob import MLJobStatus, Phase

from ..frozen import frozen
from ..run.states import RunState
from . import attempts
from .resource.job import Job

_ends_of_stages = attrgetter(
    "attempts", "phase", "submit_time", "start_time", "dag_run_state", "completion_time", "history"
)
"""Returns the fields of a status that change when a stage ends."""


@frozen
class Interval:
    """The beginning and the end of a stage.

    The two times may come from different clocks: Kubernetes', the operator's or Airflow's. Most of
    the times have whole seconds.
    """

    begins_at: datetime
    ends_at: datetime

    @property
    def seconds(self) -> float:
        """The length in seconds. 0 if different clocks put the end before the beginning."""
        return max(0.0, (self.ends_at - self.begins_at).total_seconds())


@frozen
class Timeline:
    """The stages of one attempt. A stage that has not ended, or that the attempt did not have, is
    None.

    The first attempt is due when the MLJob is created. A later attempt is due when the previous
    attempt has ended. A suspension, a changed spec or a requested retry may make an attempt due
    later.

    Attributes:
        number: The number of the attempt.
        submission: From the time when the attempt was due until Airflow had queued its run.
        queue: From the time when Airflow had queued the run until Airflow started the run.
        run: From the start of the run until its end.
        whole: From the time when the attempt was due until its end.
        end: The phase and the reason with which the attempt ended, or None if it has not ended.
    """

    number: int
    submission: Interval | None
    queue: Interval | None
    run: Interval | None
    whole: Interval | None
    end: tuple[Phase, str] | None

    @classmethod
    def of(cls, job: Job, status: MLJobStatus) -> Timeline | None:
        """Return the timeline of the newest attempt in ``status``, or None before the first
        attempt.

        Args:
            job: The MLJob.
            status: The current status of the MLJob, or an earlier status.
        """
        if status.attempts is None:
            return None
        due, queued = _due_at(job, status), status.submit_time
        started, ended = _started_at(status), attempts.ended_at(status)
        return cls(
            number=status.attempts,
            submission=_interval(due, queued),
            queue=_interval(queued, started),
            run=_interval(started, ended),
            whole=_interval(due, ended),
            end=attempts.last_end(status),
        )

    def news(self, before: Timeline | None) -> Timeline:
        """Return a copy with only the stages that had not ended in ``before``, an earlier timeline
        of the MLJob. If ``before`` is None or is about another attempt, the copy has all stages.
        """
        if before is None or before.number != self.number:
            return self
        return Timeline(
            number=self.number,
            submission=self.submission if before.submission is None else None,
            queue=self.queue if before.queue is None else None,
            run=self.run if before.run is None else None,
            whole=self.whole if before.whole is None else None,
            end=self.end if before.end is None else None,
        )


def may_have_news(before: MLJobStatus, after: MLJobStatus) -> bool:
    """Return whether a stage may have ended between two statuses of an MLJob."""
    return _ends_of_stages(before) != _ends_of_stages(after)


def _interval(begins_at: datetime | None, ends_at: datetime | None) -> Interval | None:
    return Interval(begins_at, ends_at) if begins_at is not None and ends_at is not None else None


def _due_at(job: Job, status: MLJobStatus) -> datetime | None:
    before = [entry for entry in status.history or () if entry.attempt != status.attempts]
    if before:
        return max(before[-1].completion_time, status.active_since or before[-1].completion_time)
    was_suspended = any(condition.type == "Suspended" for condition in status.conditions or ())
    return status.active_since if was_suspended or job.created_at is None else job.created_at


def _started_at(status: MLJobStatus) -> datetime | None:
    """Return when Airflow started the run in the newest attempt, or None if Airflow has not started
    the run yet.

    If the attempt continues the run of the previous attempt, ``startTime`` may still be the start
    in the previous attempt. So the function ignores a ``startTime`` that is at least one second
    before ``submitTime``. A smaller difference only comes from rounding ``startTime`` to whole
    seconds.
    """
    started, queued = status.start_time, status.submit_time
    if started is None or queued is None or status.dag_run_state == RunState.QUEUED:
        return None
    is_of_earlier_attempt = attempts.goes_on(status) and started + timedelta(seconds=1) <= queued
    return None if is_of_earlier_attempt else started
