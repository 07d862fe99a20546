"""Functions that return whether the operator has nothing left to do for an MLJob, and whether a
retry that a user has requested is still to be carried out.
"""

from __future__ import annotations

from ..run.states import TERMINAL_PHASES
from .resource.job import Job


def is_retryable(job: Job) -> bool:
    """Return whether the operator can carry out a requested retry, now or after the end of a run in
    progress. The result is False in these cases:

    - The MLJob is being deleted.
    - ``spec.cancel`` is true. This value is final.
    - ``spec.suspend`` is true. The retry waits until this field is false again.
    """
    return not (job.deleting or job.spec.cancel or job.spec.suspend)


def wants_retry(job: Job) -> bool:
    """Return whether these two statements are true:

    - A user has requested a retry, and the operator has not begun the retry yet. When the operator
      begins the retry, the operator stores the request in ``status.lastHandledRetry``.
    - :func:`is_retryable` returns True.
    """
    return is_retryable(job) and job.retry_request not in (None, job.status.last_handled_retry)


def is_done(job: Job) -> bool:
    """Return whether the operator has nothing left to do for an MLJob. The result is True if all of
    these conditions are met:

    - The MLJob has finished.
    - The MLJob does not have the operator's finalizer.
    - The MLJob is being deleted, or both of these are true: the status describes the current spec,
      and :func:`wants_retry` returns False.
    """
    seen = job.status.observed_generation == job.generation and not wants_retry(job)
    return job.status.phase in TERMINAL_PHASES and not job.has_finalizer and (seen or job.deleting)
