"""For how long an MLJob waits for a run, and whether a problem or a person holds the MLJob up.
Between two attempts, the status still has the start time of the run that has ended.
"""

from __future__ import annotations

from datetime import datetime

from ..resource import MLJob
from ..verdict import retry_waits
from . import fields

_WAITING = frozenset({"", "Pending", "Queued", "Suspended"})
_PATIENT = frozenset({"Submitting", "Submitted", "Resuming", "ConcurrencyLimit", "WaitingForMLJob"})
"""The reasons of the phase Pending without a Warning Event: nothing is wrong, so the wait ends by
itself.
"""
_HELD_UP = frozenset(
    {"DagPaused", "DagStale", "BackfillPaused", "AwaitingInput", "AirflowInstanceNotFound", "RunsVanished"}
)
"""The reasons with which a submitted run waits for a person."""


def waits_for_run(job: MLJob) -> bool:
    """Return whether an MLJob waits for its next run: the MLJob is new, or in the phase Pending,
    Queued or Suspended. ``status.startTime`` is about an earlier attempt then. A paused backfill
    that has started does not wait, because it continues in the same attempt.
    """
    return job.phase in _WAITING and not _is_paused_backfill(job)


def waits_since(job: MLJob) -> datetime | None:
    """Return since when an MLJob waits for its next run: the end of the last attempt, or
    ``status.activeSince`` if that is later. Before the end of the first attempt, return the time of
    the creation, or None if the MLJob has no valid time. For an MLJob that does not wait, return
    None.
    """
    if not waits_for_run(job):
        return None
    ends = [fields.time(entry, "completionTime") for entry in fields.children(job.raw_status, "history")[-1:]]
    ended = [*filter(None, ends)]
    if not ended:
        return job.created_at
    active_since = fields.time(job.raw_status, "activeSince")
    return max(ended[0], active_since or ended[0])


def _is_paused_backfill(job: MLJob) -> bool:
    status = job.raw_status
    if job.phase != "Suspended" or not fields.child(status, "backfill") or not fields.time(status, "startTime"):
        return False
    # An attempt that has ended is in the history. An attempt that is not submitted has no submitTime.
    ended = [entry.get("attempt") for entry in fields.children(status, "history")[-1:]]
    return fields.time(status, "submitTime") is not None and status.get("attempts") not in ended


def is_held_up(job: MLJob) -> bool:
    """Return whether a problem or a person holds an MLJob up: a run can't be submitted, the last
    attempt has failed, the MLJob or its requested retry is suspended, or the run waits for a
    person, for example because its DAG is paused.
    """
    # An MLJob that was resumed stays in the phase Suspended until the operator has read the change.
    is_suspended = job.raw_spec.get("suspend") is True and (job.phase == "Suspended" or retry_waits(job))
    return is_suspended or job.reason in _HELD_UP or (job.phase == "Pending" and job.reason not in _PATIENT)
