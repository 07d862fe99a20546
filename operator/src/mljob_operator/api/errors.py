"""The errors of mljob-api, and the responses to clients.

Clients choose words of many messages. No credential of the platform is looked for in a message,
because clients could try out passwords: a replaced word would be a password. Only the adapters know
which parts of a message come from a server, and which credentials the request had, so the adapters
redact what they quote.

Sources: the Kubernetes API conventions, "Response Status Kind", and ``metav1.StatusReason``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..core.text.storable import cut
from ..errors import (
    AirflowError,
    AirflowForbidden,
    AirflowInstanceNotFound,
    AirflowInstanceNotReady,
    AirflowUnauthorized,
    AirflowUnavailable,
    AirflowUnreadable,
    KafkaUnavailable,
    OperatorError,
    ReferenceMissing,
    StoreError,
    TooManyReaders,
)
from ..logs import without_tokens

log = logging.getLogger(__name__)

MAX_MESSAGE = 1000
"""The maximum number of characters of a message."""
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    410: "Gone",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "Timeout",
}
"""The reason of each status code. Kubernetes has no reason for 502."""
_CODES: tuple[tuple[type[OperatorError], int], ...] = (
    (TooManyReaders, 429),
    (KafkaUnavailable, 503),
    (AirflowInstanceNotFound, 404),
    (AirflowInstanceNotReady, 503),
    (ReferenceMissing, 503),
    (AirflowUnauthorized, 502),
    (AirflowForbidden, 502),
    (AirflowUnreadable, 502),
    (AirflowUnavailable, 503),
    (AirflowError, 502),
    (StoreError, 503),
)
"""The status code for each class of errors. The first class that fits decides."""
_CAUSE = "The log of mljob-api has the cause."
RETRY_AFTER = 5
"""The header ``Retry-After`` of a response with code 429, in seconds. Responses with other codes do
not have this header. If they had the header, kubectl would repeat the request ten times, and its
user would see the error only after a minute.
"""


class Refusal(Exception):
    """The error for a request that mljob-api refuses or can't answer.

    Attributes:
        code: The HTTP status code of the response.
        message: The message for the client: the cause, and what to do.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def refusal_of(error: OperatorError) -> Refusal:
    """Convert an error of the operator's adapters to a :exc:`Refusal`."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), 500)
    return Refusal(code, explained(error))


def explained(error: OperatorError) -> str:
    """Return the message of an error for clients.

    An error's cause may show the platform's Secrets or permissions, which clients must not see.
    Such a cause is not in the message, but in the log of mljob-api. Also, ``***`` replaces each part
    that has the form of a token, whatever tokens the platform has.
    """
    match error:
        case StoreError():
            # The message may quote the API server's answer, which names mljob-api's own rights.
            log.warning("the Kubernetes API fails: %s", error)
            return f"The Kubernetes API does not answer mljob-api. Try again later. {_CAUSE}"
        case ReferenceMissing() | AirflowInstanceNotReady() | AirflowUnauthorized():
            # The message names Secrets of the platform.
            log.warning("an Airflow can't be used: %s", error)
            return f"mljob-api can't log in to the Airflow of this run. Ask the platform's administrators. {_CAUSE}"
        case AirflowForbidden():
            log.warning("an Airflow can't be read: %s", error)
            return f"mljob-api may not read this from Airflow. Ask the platform's administrators. {_CAUSE}"
    return cut(without_tokens(str(error)), MAX_MESSAGE)


def status_object(code: int, message: str) -> Mapping[str, Any]:
    """Return a Kubernetes ``Status`` object for an error."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": cut(message, MAX_MESSAGE),
        "reason": REASONS.get(code, "InternalError"),
        "code": code,
    }


def response(refusal: Refusal) -> web.Response:
    """Return the HTTP response for a refusal."""
    headers = {"Retry-After": str(RETRY_AFTER)} if refusal.code == 429 else {}
    return web.Response(
        status=refusal.code,
        text=json.dumps(status_object(refusal.code, refusal.message)),
        content_type="application/json",
        headers=headers,
    )
