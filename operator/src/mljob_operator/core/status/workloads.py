"""Chooses the :class:`.workload.Workload` of an MLJob."""

from __future__ import annotations

from ..mljob.resource.job import Job
from .backfill import BACKFILL
from .single_run import SINGLE_RUN
from .workload import Workload


def workload(job: Job) -> Workload:
    """Return the ``Workload`` of an MLJob, by the MLJob's type."""
    return BACKFILL if job.is_backfill else SINGLE_RUN
