"""The verdict on an MLJob: how the MLJob has ended, or that it is stalled. The client's ``wait``
waits for a verdict.

An MLJob in the phase Cancelled has the verdict Cancelled. An MLJob in any other phase has a verdict
if all these statements are true:

- One of the conditions Complete, Failed and Stalled is True.
- The condition Reconciling is not True.
- The status, or the condition Stalled, describes the newest spec.
- No retry is pending (:func:`retry_is_pending`).

The verdict is about the newest spec. If the run of an earlier spec has ended, and the newest spec
can't run without a change, the verdict is Stalled.

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


_ENDED = (Verdict.SUCCEEDED, Verdict.FAILED)
"""The phases of an ended MLJob that may run again."""


def verdict_of(job: MLJob) -> Verdict | None:
    """Return the verdict on the MLJob, or None if the MLJob has no verdict yet."""
    if job.is_true("Failed") and job.phase == Verdict.CANCELLED:
        return Verdict.CANCELLED  # final, whatever else is requested
    if retry_is_pending(job) or job.is_true("Reconciling"):
        return None
    if not describes_newest_spec(job):
        return Verdict.STALLED if _newest_spec_is_stalled(job) else None
    if job.is_true("Failed"):
        return Verdict.FAILED
    if job.is_true("Stalled"):
        return Verdict.STALLED  # also if Complete is True: then the run of an earlier spec has succeeded
    return Verdict.SUCCEEDED if job.is_true("Complete") else None


def has_ended(job: MLJob) -> bool:
    """Return whether the MLJob has succeeded, has failed or was cancelled, and is not about to run
    again. A stalled MLJob has not ended.
    """
    return verdict_of(job) not in (None, Verdict.STALLED)


def can_be_cancelled(job: MLJob) -> bool:
    """Return whether there is something to cancel: the MLJob has a run, or may get a run. False if
    the MLJob has ended and can't run without a change of its spec or a retry.
    """
    verdict = verdict_of(job)
    if verdict is Verdict.STALLED:
        # After the end of a run, a spec that is refused or invalid starts no run.
        return not (job.is_true("Complete") and describes_newest_spec(job))
    return verdict is None


def stall_message(job: MLJob) -> str:
    """Return the message of the condition Stalled if the MLJob has ended and the condition is not
    about this end, but about a changed spec that can't run. Otherwise return an empty text.
    """
    if job.phase not in _ENDED or not job.is_true("Stalled"):
        return ""
    message = job.conditions["Stalled"].get("message")
    is_of_the_end = message in (job.message, job.conditions.get("Failed", {}).get("message"))
    return message if isinstance(message, str) and not is_of_the_end else ""


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
    return job.phase in _ENDED and retry_is_pending(job)


def retry_is_suspended(job: MLJob) -> bool:
    """Return whether a requested retry can't begin because the MLJob is suspended."""
    return retry_is_pending(job) and job.raw_spec.get("suspend") is True


def describes_newest_spec(job: MLJob) -> bool:
    """Return whether the status describes the newest spec. While a changed spec waits for its run,
    the status describes the spec before the change.
    """
    return _integer(job.raw_status.get("observedGeneration")) >= _integer(job.metadata.get("generation"))


def _newest_spec_is_stalled(job: MLJob) -> bool:
    observed = _integer(job.conditions.get("Stalled", {}).get("observedGeneration"))
    return job.is_true("Stalled") and observed >= _integer(job.metadata.get("generation"))


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
