"""Functions that return whether the operator still has to act for an MLJob, and whether a user has
requested a retry.
"""

from __future__ import annotations

from ..run.states import TERMINAL_PHASES
from .resource.job import Job


def is_retryable(job: Job) -> bool:
    """Return whether the operator can carry out a requested retry now. The result is False in these
    cases:

    - The MLJob is being deleted.
    - ``spec.cancel`` is true. This value is final.
    - ``spec.suspend`` is true. The retry waits until this field is false again.
    """
    return not (job.deleting or job.spec.cancel or job.spec.suspend)


def wants_retry(job: Job) -> bool:
    """Return whether a user has requested a retry that the operator has not carried out yet
    (``status.lastHandledRetry``) and can carry out now (:func:`is_retryable`).
    """
    return is_retryable(job) and job.retry_request not in (None, job.status.last_handled_retry)


def is_done(job: Job) -> bool:
    """Return whether the operator has nothing left to do for an MLJob. The MLJob must have
    finished, and must have no finalizer. Unless the MLJob is being deleted, the status must
    describe the current spec, and no retry may be requested.
    """
    seen = job.status.observed_generation == job.generation and not wants_retry(job)
    return job.status.phase in TERMINAL_PHASES and not job.has_finalizer and (seen or job.deleting)
