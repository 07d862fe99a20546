"""Sends requests to the Kubernetes API."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from ...core.text.storable import cut
from ...errors import Conflict, Gone, Refused, StoreError, StoreForbidden, StoreUnavailable
from ..proxies import shown

TIMEOUT = 15.0
"""The longest time of one request, in seconds."""
LONGEST_PAUSE = 30.0
"""The longest pause in seconds that the operator makes if the API server asks for a pause."""
JSON = "application/json"
NO_ANSWER = (TimeoutError, aiohttp.ClientError, OSError)
"""The exceptions of aiohttp for a request that got no answer."""


async def call(method: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the Kubernetes client, and return the result.

    Raises:
        StoreError: The request failed.
    """
    try:
        return await method(*args, **kwargs)
    except ApiException as error:
        raise _mapped(error) from error
    except NO_ANSWER as error:
        raise StoreUnavailable(unanswered(error, None)) from error
    except (ValueError, RecursionError) as error:
        raise StoreUnavailable(f"the answer of the Kubernetes API can't be read: {str(error)[:200]}") from error


async def send(
    api: ApiClient, method: str, path: str, body: Mapping[str, Any], content_type: str = JSON
) -> dict[str, Any]:
    """Send an object to the Kubernetes API, and return the object in the answer.

    This function is faster than the methods of the Kubernetes client.

    Args:
        api: The client for the Kubernetes API.
        method: The HTTP method.
        path: The percent-encoded path.
        body: The object.
        content_type: The media type of the body.

    Raises:
        StoreError: The request failed.
    """
    return await call(_answered, api, method, path, body, content_type)  # type: ignore[no-any-return]


async def _answered(
    api: ApiClient, method: str, path: str, body: Mapping[str, Any], content_type: str
) -> dict[str, Any]:
    headers = {**api.default_headers, "Accept": JSON, "Content-Type": content_type}
    await api.update_params_for_auth(headers, None, ["BearerToken"], path, method, body)
    answer = await api.call_api(method, api.configuration.host + path, headers, body, _request_timeout=TIMEOUT)
    data = await answer.read()  # type: ignore[no-untyped-call]
    if not 200 <= answer.status < 300:
        raise ApiException(http_resp=answer)
    decoded_object = json.loads(data)
    if not isinstance(decoded_object, dict):
        raise ValueError("it is no JSON object")
    return decoded_object


def decoded(data: Mapping[str, str] | None) -> dict[str, str]:
    """Return the values of a Secret as text, by key. Invalid UTF-8 becomes U+FFFD.

    Args:
        data: The field ``data`` of the Secret, with values in base64.
    """
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in (data or {}).items()}


def unanswered(error: BaseException, proxy: str | None) -> str:
    """Return the message for a request that got no answer.

    Args:
        error: The exception that the request raised.
        proxy: The URL of the proxy, or None. The message omits the proxy's user and password.
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # str(error) would show the proxy's URL with user and password.
        cause = f"the proxy answered {error.status} {error.message}"
    else:
        cause = str(error) or type(error).__name__
    way = f" through the proxy {shown(proxy)} (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)" if proxy else ""
    return f"the Kubernetes API did not answer{way}: {cause}"


def explanation(status: int, reason: str | None, body: str) -> str:
    """Return one line about an answer with an error status.

    Args:
        status: The HTTP status.
        reason: The reason phrase of the HTTP status.
        body: The answer's body. The line quotes at most 300 characters of the message of a
            Kubernetes Status, or of a plain-text body. The line quotes no HTML.
    """
    message = json_object(body).get("message") or ("" if body.lstrip()[:1] in ("<", "{", "[") else body)
    return f"the Kubernetes API answered {status} {reason}: {cut(' '.join(str(message).split()), 300)}".rstrip(": ")


def json_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text, or an empty dict if the text is not a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_ending(answer: Mapping[str, Any]) -> bool:
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return any(isinstance(cause, Mapping) and cause.get("reason") == "NamespaceTerminating" for cause in causes or ())


def _retry_after(error: ApiException) -> float:
    """Return the seconds in the header ``Retry-After`` (RFC 9110, section 10.2.3), at most
    ``LONGEST_PAUSE``.

    Return 0 if the header is absent or is not a whole number.
    """
    value = (error.headers or {}).get("Retry-After") or ""
    return min(float(value), LONGEST_PAUSE) if value.isascii() and value.isdecimal() and len(value) < 10 else 0.0


def _mapped(error: ApiException) -> StoreError:
    status, body = error.status or 0, str(error.body or "")
    text = explanation(status, error.reason, body)
    if status == 404:
        # Only a Status with reason NotFound says that the object does not exist. A proxy, or an API
        # server without the CRDs, also answers 404.
        return Gone(text) if json_object(body).get("reason") == "NotFound" else StoreUnavailable(text)
    if status == 409:
        return Gone(text) if "uid" in body and "Precondition" in body else Conflict(text)
    if status == 403:
        return Gone(text) if _is_ending(json_object(body)) else StoreForbidden(text)
    if status in (429, 0) or status >= 500:
        return StoreUnavailable(text, retry_after=_retry_after(error))
    if status in (400, 413, 422):
        return Refused(text)
    return StoreError(text)
