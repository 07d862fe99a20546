"""Chooses the :class:`.workload.Workload` of an MLJob. A ``Workload`` makes the fields and messages
of the status that are different for a single run and for a backfill.
"""

from __future__ import annotations

from ..mljob.resource.job import Job
from .backfill import BACKFILL
from .single_run import SINGLE_RUN
from .workload import Workload


def workload(job: Job) -> Workload:
    """Return the ``Workload`` for a backfill if the MLJob's ``spec.type`` is Backfill. Otherwise
    return the ``Workload`` for a single run.
    """
    return BACKFILL if job.is_backfill else SINGLE_RUN
