"""Retries that a user requests with the annotation ``mljob.dev/retry-requested-at``.

The value of the annotation names the request. When an attempt has begun because of a request, the
request counts as handled, and ``status.lastHandledRetry`` names this request. The annotation and
the status are stored in the MLJob. So a request is not lost while no operator is running, and no
request is handled twice (:func:`.wants_retry`). If a request comes before the run of an attempt is
submitted, this attempt counts as the requested retry. The operator first stores in the status that
the request is handled, and then submits the run.
"""

from __future__ import annotations

from mljob_contract.mljob import RETRY_REQUESTED_AT, MLJobStatus

from .resource.job import Job

_HOW_TO = " To retry: kubectl annotate"


def how_to_retry(job: Job) -> str:
    """Return the sentence that names the command for requesting a retry. The sentence is for the
    end of the message of a failed MLJob. So the sentence begins with a space.
    """
    return f"{_HOW_TO} --overwrite -n {job.namespace} mljob/{job.name} {RETRY_REQUESTED_AT}=$(date +%s)"


def without_how_to_retry(message: str) -> str:
    """Return the message of a failed MLJob without the sentence of :func:`how_to_retry`. The
    entries of ``status.history`` have messages without this sentence.
    """
    return message.partition(_HOW_TO)[0]


def with_retry_handled(status: MLJobStatus, job: Job) -> MLJobStatus:
    """Return a copy of ``status`` in which ``lastHandledRetry`` names the MLJob's retry request,
    and the number of failed attempts is zero again. Call this function when an attempt begins
    because of the request, or when an attempt counts as the requested retry.
    """
    return status.model_copy(update={"last_handled_retry": job.retry_request, "failed_attempts": None})
