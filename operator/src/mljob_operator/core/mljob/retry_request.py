"""Retries that a user requests with the annotation ``mljob.dev/retry-requested-at``.

The annotation is the request, and ``status.lastHandledRetry`` names the request that was handled
last. The object has both, so a request is not lost while no operator runs, and no request is
handled twice (:func:`.wants_retry`). If a request comes before the run of an attempt is submitted,
this attempt handles the request. The operator stores in the status that the request is handled, and
then submits the run.
"""

from __future__ import annotations

from mljob_contract.mljob import RETRY_REQUESTED_AT, MLJobStatus

from .resource.job import Job

_HOW_TO = " To retry: kubectl annotate"


def how_to_retry(job: Job) -> str:
    """Return the command that requests a retry, for the end of the message of a failed MLJob."""
    return f"{_HOW_TO} --overwrite -n {job.namespace} mljob/{job.name} {RETRY_REQUESTED_AT}=$(date +%s)"


def without_how_to_retry(message: str) -> str:
    """Return the message of a failed MLJob without the command that requests a retry. The entry of
    the attempt in the history has only the cause of the failure.
    """
    return message.partition(_HOW_TO)[0]


def with_retry_handled(status: MLJobStatus, job: Job) -> MLJobStatus:
    """Return the status of an attempt that handles the requested retry. The number of failed
    attempts starts at zero again.
    """
    return status.model_copy(update={"last_handled_retry": job.retry_request, "failed_attempts": None})
