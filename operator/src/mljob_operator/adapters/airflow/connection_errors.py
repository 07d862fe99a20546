"""Turns the exceptions of a request that got no answer into AirflowUnavailable, and says
whether Airflow may have received the request.

Source: urllib3's documentation of exceptions.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from airflow_client.client.exceptions import ApiException

from ...errors import AirflowError, AirflowUnavailable
from ..proxies import shown

_NOT_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)
"""The exceptions that urllib3 raises before it sends a request."""


@contextmanager
def connection_errors(server: str, proxy: str | None) -> Iterator[None]:
    """Run the ``with`` block, which sends a request. If there is no answer, raise
    AirflowUnavailable.

    Args:
        server: The name of the server in the message, such as ``Airflow at http://airflow``.
        proxy: The URL of the proxy, for the message. None if no proxy is used.

    Raises:
        AirflowUnavailable: The request got no answer. ``outcome_unknown`` is set if the server may
            have received the request.
    """
    via_proxy = f" through the proxy {shown(proxy)}" if proxy else ""
    try:
        yield
    except _NOT_CONNECTED as error:
        raise AirflowUnavailable(f"{server} can't be reached{via_proxy}: {_cause(error)}") from error
    except (ApiException, ssl.SSLError, urllib3.exceptions.SSLError) as error:
        # When a request gets no answer, apache-airflow-client raises ApiException only for a bad
        # certificate.
        raise AirflowUnavailable(f"{server} can't be trusted: {_cause(error)}. Check the CA bundle.") from error
    except urllib3.exceptions.HTTPError as error:
        refused = isinstance(getattr(error, "reason", None), urllib3.exceptions.NewConnectionError)
        raise AirflowUnavailable(
            f"{server} did not answer{via_proxy}: {_cause(error)}", outcome_unknown=not refused
        ) from error
    except OSError as error:
        raise AirflowUnavailable(f"{server} did not answer{via_proxy}: {error}", outcome_unknown=True) from error


@contextmanager
def nothing_sent() -> Iterator[None]:
    """Run the ``with`` block, which logs in or requests the version before the caller's request.

    Raises:
        AirflowError: The block raised this error. ``outcome_unknown`` is false, because the caller's
            request has not been sent. ``of_one_request`` of AirflowUnavailable is false, because
            every request needs the token and the version.
    """
    try:
        yield
    except AirflowError as error:
        error.outcome_unknown = False
        if isinstance(error, AirflowUnavailable):
            error.of_one_request = False
        raise


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "original_error", None) or error
    return str(reason).rsplit(": ", 1)[-1]
