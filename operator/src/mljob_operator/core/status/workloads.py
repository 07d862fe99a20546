"""Chooses the implementation of :class:`.workload.Workload` for an MLJob."""

from __future__ import annotations

from ..mljob.resource.job import Job
from .backfill import BACKFILL
from .single_run import SINGLE_RUN
from .workload import Workload


def workload(job: Job) -> Workload:
    """Return the implementation for a backfill if the MLJob has type Backfill, and the
    implementation for a single run otherwise.
    """
    return BACKFILL if job.is_backfill else SINGLE_RUN
