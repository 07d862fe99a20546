"""Which implementation of :class:`.workload.Workload` an MLJob has."""

from __future__ import annotations

from ..mljob.job import Job
from .backfill import BACKFILL
from .single_run import SINGLE_RUN
from .workload import Workload


def workload(job: Job) -> Workload:
    """A backfill for MLJobs of type Backfill, else a single run."""
    return BACKFILL if job.is_backfill else SINGLE_RUN
