"""A session logs in to an Airflow, sends requests to the REST API, and turns failures into
exceptions of the operator.

Source: Airflow's documentation, "Public API authentication".
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import urllib3
from airflow_client.client import ApiClient, Configuration

from mljob_contract.airflow_versions import Version

from ...core.airflow_instance.credentials import Login
from ...errors import AirflowUnavailable, AirflowUnsupported
from ...ports import Gate
from ..proxies import login_headers, pool_manager, proxy_for
from .absence import NEVER, Absence
from .answers import Answer, Reply, without_user
from .bearer_auth import BearerAuth
from .bodies import MAX_OBJECT_BYTES
from .connection_errors import connection_errors, nothing_sent
from .lists import ListReader
from .response_headers import clock_offset
from .rows import Row
from .single_flight import SingleFlight
from .tokens import tokens_of
from .versions import assert_backfills, supported, warn_if_untested, without_api

TIMEOUT = (5.0, 15.0)
"""The longest time to connect, and the longest time to wait for an answer, in seconds.
apache-airflow-client has no default timeout."""
MAX_CLOCK_OFFSET = timedelta(days=1)
"""The largest credible offset between Airflow's clock and the operator's. A larger offset is
ignored."""
TOKEN_PATH = "/auth/token"  # noqa: S105  # a path
"""The path of Airflow's own token endpoint."""


class Session:
    """A session with one Airflow. Threads may share the session.

    Args:
        url: The base URL, without ``/api/v2``.
        login: The credentials.
        ca_file: The path of a file with the CA bundle for https.
        ca_bundle: The CA bundle for https, as text (PEM).
        gate: Refuses requests that change something, unless this process is the leader.
        connections: The maximum number of idle connections that are kept open.
    """

    def __init__(
        self, url: str, login: Login, *, ca_file: str | None, ca_bundle: str | None, gate: Gate, connections: int = 1
    ) -> None:
        self._url = url.rstrip("/")
        self._shown_url = without_user(self._url)
        self._source = login.source
        self._headers = {name: value.get_secret_value() for name, value in login.headers}
        self._trusted = (ca_file, ca_bundle)
        configuration = Configuration(host=self._url, ssl_ca_cert=ca_file, ca_cert_data=ca_bundle, retries=False)
        configuration.connection_pool_maxsize = connections
        # The proxy is set here, because apache-airflow-client interprets NO_PROXY in another way
        # than proxy_for.
        self._proxy = proxy_for(self._url)
        configuration.proxy, configuration.no_proxy = self._proxy, ""
        configuration.proxy_headers = login_headers(self._proxy) if self._proxy else None
        self.client = ApiClient(configuration)
        """The client that the API classes of apache-airflow-client take as their argument."""
        self.client.default_headers.update(self._headers)
        pool = self.client.rest_client.pool_manager
        pool.request = partial(self._request, pool.request, gate)  # type: ignore[method-assign]
        tokens = tokens_of(login, self._ask_token, self._ask_provider)
        self._auth = BearerAuth(login, tokens, self.client.default_headers)
        self.lists = ListReader(self.ask, self._shown_url)
        """The reader of this Airflow's lists, such as a list of runs."""
        self._version: tuple[Version, str] | None = None
        self._versions: SingleFlight[tuple[Version, str]] = SingleFlight()
        self._closed = False
        self.clock_offset = timedelta(0)
        """How far Airflow's clock is ahead of the operator's. A difference of up to two seconds
        counts as zero, because HTTP dates have no fractions of seconds."""

    def _request(
        self, send: Callable[..., urllib3.BaseHTTPResponse], gate: Gate, method: str, url: str, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request with ``send``. Every request to Airflow calls this method. Redirects are
        not followed, because a redirect may lead to a login page.

        Raises:
            AirflowUnavailable: The session is closed.
            NotLeading: The request would change something, and this process is not the leader.
        """
        if self._closed:
            raise AirflowUnavailable(f"The session with Airflow at {self._shown_url} is closed.")
        if method != "GET" and url != f"{self._url}{TOKEN_PATH}":
            gate.check()
        return send(method, url, redirect=False, **options)

    def close(self) -> None:
        """Send no more requests. An operation in progress, such as a list of many pages, ends with
        AirflowUnavailable after the answer to its current request.
        """
        self._closed = True

    def ask(
        self,
        method: Callable[..., Any],
        *args: Any,
        absent: Absence = NEVER,
        max_bytes: int = MAX_OBJECT_BYTES,
        **query: Any,
    ) -> Row:
        """Send a request, and return the JSON object of the answer. Log in first if there is no
        valid token.

        Args:
            method: A method of apache-airflow-client's API classes whose name ends in
                ``_without_preload_content``.
            args: The method's positional arguments.
            absent: The texts by which Airflow says that the object does not exist.
            max_bytes: The maximum number of bytes of the answer.
            query: The method's keyword arguments.

        Raises:
            Absent: Airflow says with a text of ``absent`` that the object does not exist.
            Answer: Airflow answered with a 4xx status whose meaning depends on the request, such as
                409. The caller has to interpret the status.
            NotLeading: The request would change something, and this process is not the leader.
            TooLarge: The answer is larger than ``max_bytes``, or has more JSON values than
                :func:`.read_body` allows.
            AirflowUnavailable: Airflow did not answer, Airflow answered with a server error or with
                429 (too many requests), the answer is not from Airflow, or the session is closed.
            AirflowUnreadable: Airflow's answer is not a JSON object, or is a 404 whose text is not
                in ``absent``.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: The credentials lack a permission.
            AirflowUnsupported: This Airflow is too old.
        """
        self.version()
        return self._result(self._auth.send(partial(self._send, method, *args, max_bytes=max_bytes, **query)), absent)

    def open(
        self, method: Callable[..., Any], *args: Any, absent: Absence = NEVER, **query: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, and return the successful answer with its body unread. The caller must
        release or close the answer. The arguments and the exceptions are those of :meth:`ask`.
        """
        self.version()
        opened: list[urllib3.BaseHTTPResponse] = []

        def keep(response: urllib3.BaseHTTPResponse, base: str, max_bytes: int) -> Reply:
            if not 200 <= response.status < 300:
                return Reply.read(response, base, max_bytes)
            opened.append(response)
            return Reply.head(response, base)

        reply = self._auth.send(partial(self._send, method, *args, read=keep, **query))
        if opened:
            try:
                reply.assert_json()
            except AirflowUnavailable:
                opened[-1].close()
                raise
            return opened[-1]
        self._result(reply, absent)
        raise AssertionError("an answer without success raises")

    def version(self) -> tuple[Version, str]:
        """Return Airflow's version: the major and minor number, and the full text. A supported
        version is stored for later calls.

        Raises:
            AirflowUnsupported: The version is too old. The next call requests the version again,
                because Airflow may have been upgraded.
            AirflowUnavailable: Airflow does not answer with its version.
            Exception: The other exceptions of a login, such as AirflowUnauthorized.
        """
        with nothing_sent():
            return self._version or self._versions.do(self._ask_version)

    def connection_errors(self) -> AbstractContextManager[None]:
        """Return a context manager that raises AirflowUnavailable if a request gets no answer."""
        return connection_errors(f"Airflow at {self._shown_url}", self._proxy)

    def assert_backfills(self) -> None:
        """Check that this version of Airflow can find the runs of one backfill. If the version is
        too old, the session requests the version again before the next request, because Airflow may
        have been upgraded.

        Raises:
            AirflowUnsupported: The version is too old.
            Exception: The exceptions of :meth:`version`.
        """
        number, version = self.version()
        try:
            assert_backfills(number, version, self._shown_url)
        except AirflowUnsupported:
            self._version = None
            raise

    def _result(self, reply: Reply, absent: Absence = NEVER) -> Row:
        result = reply.result(absent, self._source)
        if reply.date is not None and abs(offset := clock_offset(reply.date, datetime.now(UTC))) <= MAX_CLOCK_OFFSET:
            self.clock_offset = offset
        return result

    def _send(
        self,
        method: Callable[..., Any],
        *args: Any,
        max_bytes: int = MAX_OBJECT_BYTES,
        read: Callable[[urllib3.BaseHTTPResponse, str, int], Reply] = Reply.read,
        **query: Any,
    ) -> Reply:
        query.setdefault("_request_timeout", TIMEOUT)
        with self.connection_errors():
            return read(method(*args, **query), self._shown_url, max_bytes)

    def _ask_version(self) -> tuple[Version, str]:
        reply = self._auth.send(partial(self._send, self._call, "GET", "/api/v2/version"))
        version = self._first_answer(reply).text("version")
        found = supported(version, self._shown_url), version
        if self._version is None:
            warn_if_untested(*found, self._shown_url)
        self._version = found
        return found

    def _ask_token(self, body: Mapping[str, Any]) -> Row:
        reply = self._send(self._call, "POST", TOKEN_PATH, body)
        return self._first_answer(replace(reply, hidden=self._auth.hidden_in_logins))

    def _ask_provider(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Request a token from an OAuth 2 provider. The request has neither the additional headers
        for Airflow nor a token of Airflow.
        """
        at = without_user(url)
        proxy = proxy_for(url)
        with connection_errors(f"The token endpoint {at}", proxy):
            context = ssl.create_default_context(cafile=self._trusted[0], cadata=self._trusted[1])
            context.load_default_certs()
            with pool_manager(proxy, ssl_context=context, retries=False) as pool:
                timeout = urllib3.Timeout(connect=TIMEOUT[0], read=TIMEOUT[1])
                response = pool.request(
                    "POST", url, body=body, headers=headers, redirect=False, preload_content=False, timeout=timeout
                )
                return Reply.read(response, at, MAX_OBJECT_BYTES)

    def _first_answer(self, reply: Reply) -> Row:
        """Return the JSON object of Airflow's answer to a login or to a request for the version.
        Raise AirflowUnavailable for a 404 and instead of an :class:`.Answer`.
        """
        if reply.status == 404:
            raise without_api(reply.summary)
        try:
            return self._result(reply)
        except Answer as answer:
            raise AirflowUnavailable(f"{reply.url} answered {answer.status}: {answer.detail}") from answer

    def _call(self, method: str, path: str, body: Any = None, *, _request_timeout: Any) -> urllib3.BaseHTTPResponse:
        headers = {**self.client.default_headers, "Accept": "application/json"}
        if body is not None:
            # A request for a token is sent without the current token, because Airflow may have
            # refused the current token.
            headers = {**self._headers, "Accept": "application/json", "Content-Type": "application/json"}
        response: urllib3.BaseHTTPResponse = self.client.call_api(
            method, f"{self._url}{path}", header_params=headers, body=body, _request_timeout=_request_timeout
        ).response
        return response
