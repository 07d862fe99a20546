"""The verdict on an MLJob: whether and how it has ended, as a pure function of one state. ``wait``
waits for a verdict.

An MLJob has a verdict when its operator does nothing more by itself. Three statements must be true:
the status describes the newest spec, no requested retry is pending, and the condition Reconciling
is not True. The verdict Cancelled is final, and does not depend on these statements. A suspended
MLJob has no verdict, because somebody may resume it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from .resource import RETRY_REQUESTED_AT, MLJob

_MAX_RETRY_REQUEST = 253
"""The maximum number of characters of the annotation for a retry that the operator reads
(``mljob_contract.mljob``).
"""


class Verdict(StrEnum):
    """How an MLJob ended, or that it can't go on without a change (``STALLED``)."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    STALLED = "Stalled"
    """The MLJob waits for a change of its spec, its DAG or its rights, and can't go on by
    itself.
    """


def verdict_of(job: MLJob) -> Verdict | None:
    """Return how the MLJob ended, or None if the MLJob has no verdict yet."""
    if job.is_true("Failed") and job.phase == Verdict.CANCELLED:
        return Verdict.CANCELLED  # final, whatever else is requested
    if not _describes_newest_spec(job) or retry_is_pending(job) or job.is_true("Reconciling"):
        return None
    if job.is_true("Complete"):
        return Verdict.SUCCEEDED
    if job.is_true("Failed"):
        return Verdict.FAILED
    return Verdict.STALLED if job.is_true("Stalled") else None


def retry_is_pending(job: MLJob) -> bool:
    """Return whether a retry was requested that the operator has not handled yet."""
    requested = job.annotations.get(RETRY_REQUESTED_AT, "")[:_MAX_RETRY_REQUEST]
    return bool(requested) and requested != job.raw_status.get("lastHandledRetry")


def retry_waits(job: MLJob) -> bool:
    """Return whether the MLJob has ended and a requested retry of it has not begun. The status then
    still describes the attempt before.
    """
    return job.phase in (Verdict.SUCCEEDED, Verdict.FAILED) and retry_is_pending(job)


def retry_is_suspended(job: MLJob) -> bool:
    """Return whether a requested retry waits until the MLJob is resumed."""
    return retry_is_pending(job) and job.raw_spec.get("suspend") is True


def _describes_newest_spec(job: MLJob) -> bool:
    observed, newest = _integer(job.raw_status.get("observedGeneration")), _integer(job.metadata.get("generation"))
    return observed >= newest


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
