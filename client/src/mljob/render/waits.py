"""The time for which an MLJob waits for a run. Between two attempts, the status still has the start
time of the run that has ended.
"""

from __future__ import annotations

from datetime import datetime

from ..resource import MLJob
from . import fields

_WAITING = frozenset({"", "Pending", "Queued", "Suspended"})


def waits_for_run(phase: str) -> bool:
    """Return whether an MLJob in this phase waits for its next run: the MLJob is new, or in the
    phase Pending, Queued or Suspended. ``status.startTime`` is about an earlier attempt then.
    """
    return phase in _WAITING


def waits_since(job: MLJob) -> datetime | None:
    """Return since when an MLJob waits for its next run: the end of the last attempt, or
    ``status.activeSince`` if that is later. Before the end of the first attempt, return the time of
    the creation, or None if the MLJob has no valid time. For an MLJob that does not wait, return
    None.
    """
    if not waits_for_run(job.phase):
        return None
    ends = [fields.time(entry, "completionTime") for entry in fields.children(job.raw_status, "history")[-1:]]
    ended = [*filter(None, ends)]
    if not ended:
        return job.created_at
    active_since = fields.time(job.raw_status, "activeSince")
    return max(ended[0], active_since or ended[0])
