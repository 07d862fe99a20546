"""Retries that a user requests with the annotation ``mljob.dev/retry-requested-at``.

The value of the annotation identifies the request. Before the operator submits a run for the
request, the operator copies the value to ``status.lastHandledRetry``. So a restart of the operator
neither loses nor repeats a request. If the run of the current attempt is not submitted yet, the
current attempt carries out the request, and no other attempt starts.
"""

from __future__ import annotations

from mljob_contract.mljob import RETRY_REQUESTED_AT, MLJobStatus

from .resource.job import Job

_HOW_TO = " To retry: kubectl annotate"


def how_to_retry(job: Job) -> str:
    """Return a space and the sentence ``To retry: kubectl annotate ...``, to append to the message
    of a failed MLJob.
    """
    return f"{_HOW_TO} --overwrite -n {job.namespace} mljob/{job.name} {RETRY_REQUESTED_AT}=$(date +%s)"


def without_how_to_retry(message: str) -> str:
    """Return a message without the sentence ``To retry: kubectl annotate ...``."""
    return message.partition(_HOW_TO)[0]


def with_retry_handled(status: MLJobStatus, job: Job) -> MLJobStatus:
    """Return a copy of ``status`` in which ``lastHandledRetry`` is the value of the MLJob's retry
    annotation, and ``failedAttempts`` is None. ``status`` stays unchanged.
    """
    return status.model_copy(update={"last_handled_retry": job.retry_request, "failed_attempts": None})
