"""A session with Airflow's REST API: logs in, asks, and says in our own terms what went wrong.

Everything that is true of every request is here: the token and its renewal, timeouts, pages, the clock, the meaning of HTTP statuses
that no operation has to interpret. Sources: Airflow's "Public API authentication" and FastAPI's error bodies.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3
from airflow_client.client import ApiClient, Configuration
from airflow_client.client.exceptions import ApiException

from mljob_contract.airflow_versions import Version

from ...core.credentials import fits_header
from ...errors import AirflowForbidden, AirflowUnauthorized, AirflowUnavailable, AirflowUnsupported
from .versions import assert_backfills, supported, warn_if_untested, without_api

CONNECTIONS = 8
PAGE = 100
"""Rows of an answer: Airflow's default ``[api] maximum_page_limit``."""
TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for an answer; the client has no timeout of its own."""


class Answer(Exception):
    """An answer that is not 2xx, and not for the session to interpret: the operation knows what it means.

    Attributes:
        status: The HTTP status.
        detail: What Airflow says, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Session:
    """One Airflow, logged in. Threads may share it.

    Args:
        url: Base URL, without ``/api/v2``.
        user: For ``POST /auth/token``, with ``password``.
        token: A bearer token instead of user and password.
        ca_file: CA bundle for https, in a file.
        ca_bundle: CA bundle for https (PEM).
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None,
        password: str | None,
        token: str | None,
        ca_file: str | None,
        ca_bundle: str | None,
    ) -> None:
        self._url = url.rstrip("/")
        self._user = user
        self._password = password
        self._fixed_token = token
        self._configuration = Configuration(
            host=self._url, access_token=token or "", ssl_ca_cert=ca_file, ca_cert_data=ca_bundle, retries=False
        )
        self._configuration.connection_pool_maxsize = CONNECTIONS
        self._lock = threading.Lock()
        self.client = ApiClient(self._configuration)
        """For the client's API classes."""
        self._version: tuple[Version, str] | None = None
        self.clock_offset = timedelta(0)
        """How far Airflow's clock is ahead of ours; to a second, as HTTP's Date has no fractions."""

    def pages(self, field: str, ask: Callable[[Mapping[str, Any]], Any]) -> list[dict[str, Any]]:
        """All rows of a list: ``ask`` makes the request for a page, whose place is query parameters, and ``field`` is where the rows are.

        Airflow 3.1 knows no cursors: it ignores this one, and follows the offset, which later versions ignore in turn.
        """
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            place = {"cursor": cursor, "offset": len(rows), "limit": PAGE}
            page = self.ask(lambda place=place: ask(place))  # type: ignore[misc]
            rows += page[field]
            more = page.get("next_cursor", "" if len(rows) < (page.get("total_entries") or 0) else None)
            cursor = more if page[field] else None
        return rows

    def assert_backfills(self) -> None:
        """Raise AirflowUnsupported where this Airflow can't tell backfills apart; the next time it may have been upgraded."""
        number, version = self._supported()
        try:
            assert_backfills(number, version, self._url)
        except AirflowUnsupported:
            self._version = None
            raise

    def ask(self, request: Callable[[], Any]) -> Any:
        """One request, with a login before it where one is needed; its JSON.

        Raises:
            Answer: Anything but 2xx that the operation has to make sense of.
            AirflowUnavailable: No answer, or a server error.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: They may not do this.
            AirflowUnsupported: This Airflow is too old.
        """
        self._supported()
        token = self._log_in(stale=None)
        status, data = self._send(request)
        if status in (401, 403) and self._fixed_token is None:
            # A token that has expired, or that a restarted Airflow doesn't know, is answered with either.
            self._log_in(stale=token)
            status, data = self._send(request)
        if 200 <= status < 300:
            return self._read(data) if data else None
        detail = _detail(data)
        if status == 401:
            raise AirflowUnauthorized(
                f"Airflow refused the operator's credentials: {detail}. Check the Secret that holds them."
            )
        if status == 403:
            raise AirflowForbidden(
                f"Airflow's user of the operator lacks a permission: {detail}. Give it the role that the docs name."
            )
        if status >= 500 or status == 429:
            raise AirflowUnavailable(
                f"Airflow at {self._url} answered {status}: {detail}", outcome_unknown=status >= 500
            )
        raise Answer(status, detail)

    def _send(self, request: Callable[[], Any]) -> tuple[int, bytes]:
        try:
            response = request()
            data = response.read()
            if isinstance(stamp := response.headers.get("date"), str):
                self.clock_offset = _offset(stamp)
            return int(response.status), data
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise AirflowUnavailable(f"Airflow at {self._url} can't be reached: {_cause(error)}") from error
        except (ApiException, ssl.SSLError) as error:
            # The client has no other use for its exception before there is an answer.
            raise AirflowUnavailable(
                f"Airflow at {self._url} can't be trusted: {_cause(error)}. Check the CA bundle."
            ) from error
        except urllib3.exceptions.HTTPError as error:
            refused = isinstance(getattr(error, "reason", None), urllib3.exceptions.NewConnectionError)
            raise AirflowUnavailable(
                f"Airflow at {self._url} did not answer: {_cause(error)}", outcome_unknown=not refused
            ) from error
        except OSError as error:
            raise AirflowUnavailable(f"Airflow at {self._url} did not answer: {error}", outcome_unknown=True) from error

    def _read(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            # A proxy's page, most likely; whether Airflow was asked behind it is not known.
            raise AirflowUnavailable(
                f"{self._url} answered with what is not JSON: {_detail(data)[:100]!r}. Is it Airflow's api-server?",
                outcome_unknown=True,
            ) from error

    def _supported(self) -> tuple[Version, str]:
        """The version, which is asked for once; one that is too old is asked for again the next time."""
        if (known := self._version) is not None:
            return known
        # Without the lock: while Airflow hangs, threads would wait for each other's timeouts.
        version = self._ask_version()
        found = supported(version, self._url), version
        with self._lock:
            if self._version is None:
                warn_if_untested(*found, self._url)
            self._version = found
        return found

    def _ask_version(self) -> str:
        try:
            status, data = self._send(
                lambda: self.client.call_api(
                    "GET",
                    f"{self._url}/api/v2/version",
                    header_params={"Accept": "application/json"},
                    _request_timeout=TIMEOUT,
                )
            )
            if status >= 500 or status == 429:
                raise AirflowUnavailable(f"Airflow at {self._url} answered {status}: {_detail(data)}")
            if not 200 <= status < 300:
                raise without_api(self._url, status)
            return str(self._read(data)["version"])
        except AirflowUnavailable as error:
            # Whatever was to be asked for was not.
            error.outcome_unknown = False
            raise

    def _log_in(self, stale: str | None) -> str:
        """Make sure that there is a token, and not the stale one; the token. One thread logs in, the others wait for it."""
        if self._fixed_token is not None:
            return self._fixed_token
        with self._lock:
            token = self._configuration.access_token
            if token and token != stale:
                return str(token)
            status, data = self._send(
                lambda: self.client.call_api(
                    "POST",
                    f"{self._url}/auth/token",
                    header_params={"Content-Type": "application/json", "Accept": "application/json"},
                    body={"username": self._user, "password": self._password},
                    _request_timeout=TIMEOUT,
                )
            )
            if status in (401, 403, 422):
                raise AirflowUnauthorized(
                    f"Airflow refused the login of user {self._user!r}: {_detail(data)}. Check the Secret that holds the operator's credentials."
                )
            if not 200 <= status < 300:
                raise AirflowUnavailable(f"Airflow at {self._url} answered {status} to the login: {_detail(data)}")
            token = self._read(data)["access_token"]
            if not isinstance(token, str) or not fits_header(token):
                raise AirflowUnavailable(
                    f"Airflow at {self._url} answered the login with a token that can't be in an HTTP header."
                )
            self._configuration.access_token = token
            return token


def _offset(stamp: str) -> timedelta:
    """Airflow's clock less ours; under two seconds it is HTTP's rounding and counts as none."""
    offset = parsedate_to_datetime(stamp) - datetime.now(UTC)
    return offset if abs(offset) > timedelta(seconds=2) else timedelta(0)


def _detail(data: bytes) -> str:
    """What FastAPI says in ``detail``, as one line of text."""
    try:
        detail = json.loads(data).get("detail")
    except (ValueError, AttributeError):
        detail = data.decode(errors="replace")
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg')}" for item in detail)
    elif isinstance(detail, dict):
        detail = detail.get("message") or detail.get("reason") or json.dumps(detail)
    return " ".join(str(detail).split())[:500]


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rsplit(": ", 1)[-1]
