"""The verdict on an MLJob: how the MLJob has ended, or that it is stalled. The client's ``wait``
waits for a verdict.

An MLJob in the phase Cancelled has the verdict Cancelled. An MLJob in any other phase has a verdict
if all these statements are true:

- One of the conditions Complete, Failed and Stalled is True.
- The condition Reconciling is not True.
- The status describes the newest spec.
- No retry is pending (:func:`retry_is_pending`).

In the phase Suspended, none of the conditions Complete, Failed and Stalled is True. So a suspended
MLJob, which somebody may resume, has no verdict.
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
    """How an MLJob ended, or ``STALLED``: the MLJob can't continue until somebody removes the cause,
    for example an invalid spec.
    """

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    STALLED = "Stalled"
    """The MLJob can't continue until somebody removes the cause, for example an invalid spec."""


def verdict_of(job: MLJob) -> Verdict | None:
    """Return the verdict on the MLJob, or None if the MLJob has no verdict yet."""
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
    """Return whether somebody has requested a retry, and ``status.lastHandledRetry`` does not name
    this request yet.
    """
    requested = job.annotations.get(RETRY_REQUESTED_AT, "")[:_MAX_RETRY_REQUEST]
    return bool(requested) and requested != job.raw_status.get("lastHandledRetry")


def retry_waits(job: MLJob) -> bool:
    """Return whether the MLJob is in the phase Succeeded or Failed, and a retry is pending
    (:func:`retry_is_pending`). In this case, the status describes the attempt before the retry.
    """
    return job.phase in (Verdict.SUCCEEDED, Verdict.FAILED) and retry_is_pending(job)


def retry_is_suspended(job: MLJob) -> bool:
    """Return whether a requested retry can't begin because the MLJob is suspended."""
    return retry_is_pending(job) and job.raw_spec.get("suspend") is True


def _describes_newest_spec(job: MLJob) -> bool:
    observed, newest = _integer(job.raw_status.get("observedGeneration")), _integer(job.metadata.get("generation"))
    return observed >= newest


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
