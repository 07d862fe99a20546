"""The errors that the client raises.

- :class:`ConfigError`: the kubeconfig can't be used.
- :class:`InvalidResource`: an object of the cluster does not fit the model of its kind.
- :class:`ApiError` and its subclasses: a request to the Kubernetes API server failed, or was not
  sent because it is wrong.
- :class:`JobError` and its subclasses: an MLJob did not succeed, or did not end while the client
  waited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .resource import MLJob


class MLJobError(Exception):
    """The base class of all errors of this package. The message names the cause and, if possible,
    what to do.
    """


class ConfigError(MLJobError):
    """The kubeconfig, or a file or command that the kubeconfig names, can't be used."""


class InvalidResource(MLJobError):
    """An object of the cluster does not fit the client's model of its kind. For example, the CRDs
    in the cluster have another version than the client.
    """


class ApiError(MLJobError):
    """The API server refused a request, did not answer, or gave an unusable answer. The subclass
    :class:`Invalid` is also for requests that were not sent.

    Attributes:
        code: An HTTP status, such as 404, or 0 if the error has no HTTP status.
        reason: The reason in the API server's ``Status``, such as ``Forbidden``, or an empty text.
        retry_after: How many seconds the API server asks to wait, or None.
    """

    def __init__(self, message: str, *, code: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class NotAuthenticated(ApiError):
    """401: the API server does not accept the credentials."""


class NotAllowed(ApiError):
    """403: the user lacks a right, or an admission plugin refuses the request. The message names
    the cause.
    """


class NotFound(ApiError):
    """404: the object does not exist."""


class KindNotServed(NotFound):
    """404: the API server does not serve the kind, for example because the CRDs are not installed."""


class RunApiMissing(NotFound):
    """mljob-api, the service for logs, history and graphs, is not installed or not available."""


class AlreadyExists(ApiError):
    """409: an object of this name exists."""


class Conflict(ApiError):
    """409: the object has changed since the client read it, or was replaced by another object of
    the same name.
    """


class Invalid(ApiError):
    """400 or 422: the content of the request is wrong. The client also raises this error without a
    request, for example for a retry of a cancelled MLJob.
    """


class InvalidArgument(Invalid):
    """The caller gave a wrong argument. No request was sent."""


class Expired(ApiError):
    """410: the resource version of a watch, or the continue token of a list, is too old. List the
    objects again.
    """


class TooManyRequests(ApiError):
    """429: the API server gets too many requests from this client or from all clients. Try again
    later.
    """


class Unavailable(ApiError):
    """The API server answered with a status of 5xx, can't be reached, did not answer in time, or
    did not complete its answer. Or there are no credentials for now (:class:`PluginFailed`). A
    request that changes something may still have taken effect.
    """


class PluginFailed(ConfigError, Unavailable):
    """The exec credential plugin of the kubeconfig's user ended with an error or took too long, so the
    request was not sent. The cause may be the kubeconfig, or a network that is away for a while.
    Therefore this error is a :class:`ConfigError` and an :class:`Unavailable`.
    """


class RunApiUnavailable(RunApiMissing, Unavailable):
    """mljob-api is installed but does not answer, for example while its pods are replaced."""


class BadAnswer(ApiError):
    """The answer is too large, nested too deeply, or not what the API promises."""


class JobError(MLJobError):
    """An MLJob did not succeed, or did not end while the client waited.

    Attributes:
        job: The last state of the MLJob that the client has read.
    """

    def __init__(self, message: str, job: MLJob) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(JobError):
    """The MLJob failed.

    Attributes:
        reason: The reason in the MLJob's status, such as ``TaskFailed``. For :class:`JobStalled`, the
            reason of the condition Stalled, such as ``ValidationFailed``.
        task: The id of the failed task, or None if the status names no failed task.
        map_index: If the failed task is mapped, the index of its first failed instance. Else -1.
        error: The type and the text of the task's exception, or None.
        log: At most 20 lines of the task's log, without control characters. Usually the last lines
            of the log. If the traceback of the error begins before these lines, the lines up to the
            end of the traceback. Empty if the log can't be read.
    """

    def __init__(
        self,
        message: str,
        job: MLJob,
        *,
        reason: str = "",
        task: str | None = None,
        map_index: int = -1,
        error: str | None = None,
        log: Sequence[str] = (),
    ) -> None:
        super().__init__(message, job)
        self.reason = reason
        self.task = task
        self.map_index = map_index
        self.error = error
        self.log = tuple(log)


class JobStalled(JobFailed):
    """The MLJob can't continue until somebody changes its spec, its DAG or its rights. For example,
    the conf does not fit the params of the DAG, or runPolicy Once refuses a change of the spec after
    the run of the earlier spec has succeeded.
    """


class JobCancelled(JobError):
    """The MLJob was cancelled."""


class JobDeleted(JobCancelled):
    """The MLJob was deleted before it ended, or was cancelled and is being deleted."""


class JobTimeout(JobError, TimeoutError):
    """The MLJob did not end while the client waited, and continues. If the connection to the API
    server is lost at the end of the wait, the MLJob may have ended: the message says since when the
    connection is lost.
    """


_BY_CODE: dict[int, type[ApiError]] = {
    400: Invalid,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
}
_MAX_MESSAGE = 2_000
"""The maximum number of characters of an API server's message in an error."""
_UNKNOWN_PATH = "the server could not find the requested resource"
"""The API server's message about a path that it doesn't serve."""
_WAYS_OUT: dict[type[ApiError], str] = {
    NotAuthenticated: "Log in again, or check the user of the kubeconfig's context.",
    NotAllowed: "Ask for this right. The chart's ClusterRoles <name>-viewer and <name>-editor have those for MLJobs.",
    AlreadyExists: "An MLJob runs once: take another name, or retry or delete the one that exists.",
    TooManyRequests: "Try again later.",
    Unavailable: "Check the API server and the network, and try again.",
}

_LACKS_RIGHT = " cannot "
"""A part of the API server's message if the user lacks a right: ``User "x" cannot create resource
...``. A quota or an admission webhook refuses a request with 403 too, with another message.
"""
_REFUSED_BY_POLICY = "The user has the right, but a rule of the cluster refuses the request. Ask the platform team."


def from_status(code: int, body: Any, *, asked: str, retry_after: float | None = None) -> ApiError:
    """Return the error for an answer of the API server. The HTTP status selects the subclass of
    :class:`ApiError`. 404 and 409 have two subclasses each: the body of the answer decides.

    Args:
        code: The HTTP status.
        body: The body of the answer: a decoded JSON value, or a text if the body is not JSON.
        asked: The request, such as ``GET /apis/...``. The error names the request if the answer has
            no message, or if the error is :class:`KindNotServed`.
        retry_after: The seconds of the header ``Retry-After``, or None.
    """
    status = body if isinstance(body, dict) and body.get("kind") == "Status" else {}
    reason = _text(status.get("reason"), 100)
    said = _text(status.get("message"), _MAX_MESSAGE)
    kind = _kind(code, reason, status)
    what = said or f"{asked}: the API server answered {code}{f' {body[:200]!r}' if isinstance(body, str) else ''}"
    if kind is KindNotServed:
        what = f"{asked}: this cluster does not serve the kind. Install the operator's CRDs, or check the context."
    way_out = _WAYS_OUT.get(kind, "")
    if kind is NotAllowed and said and _LACKS_RIGHT not in said:
        way_out = _REFUSED_BY_POLICY
    return kind(
        f"{what.rstrip('.')}. {way_out}" if way_out else what, code=code, reason=reason, retry_after=retry_after
    )


def _kind(code: int, reason: str, status: dict[str, Any]) -> type[ApiError]:
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if code == 404 and (not status or status.get("message") == _UNKNOWN_PATH):
        return KindNotServed
    return _BY_CODE.get(code, Unavailable if code >= 500 else ApiError)


def _text(value: Any, limit: int) -> str:
    from .text import plain

    return plain(value, limit) if isinstance(value, str) else ""


def none_selected(selector: str, namespace: str) -> Invalid:
    """Return the error for a label selector that no MLJob of the namespace matches."""
    return Invalid(f"No MLJob in namespace {namespace} has the labels {selector}.")
