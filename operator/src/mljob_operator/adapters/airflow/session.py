"""A session logs in to an Airflow, sends requests to the REST API, and turns failures into
exceptions of the operator.

Source: Airflow's documentation, "Public API authentication".
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import urllib3
from airflow_client.client import ApiClient, Configuration

from mljob_contract.airflow_versions import Version

from ...core.airflow_instance.credentials import Login
from ...core.conf.redaction import NOTHING_HIDDEN, Redaction
from ...errors import AirflowListTooLong, AirflowUnavailable, AirflowUnreadable, AirflowUnsupported
from ...ports import Gate
from ..proxies import login_headers, pool_manager, proxy_for
from .absence import NEVER, Absence
from .answers import Answer, Reply, without_user
from .bodies import MAX_OBJECT_BYTES, MAX_PAGE_BYTES, TooLarge
from .connection_errors import connection_errors
from .response_headers import clock_offset
from .rows import Row
from .single_flight import SingleFlight
from .tokens import tokens_of
from .versions import assert_backfills, supported, warn_if_untested, without_api

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE = 100
"""The number of objects (rows) per page of a list: the default of Airflow's ``[api]
maximum_page_limit``. An Airflow with a lower limit returns fewer rows, so a page with fewer rows
need not be the last page."""
MAX_PAGES = 2_000
"""The maximum number of pages of one list. So many pages have 200,000 rows, which take more than
100 MB of memory. A longer list raises AirflowListTooLong.
"""
MAX_LIST_SECONDS = 300.0
"""The longest time in seconds for reading the pages of one list. A list that takes longer raises
AirflowListTooLong. This is less than the time after which the caller gives up
(:data:`.lanes.OPERATION_TIMEOUT`), so the caller learns the reason, and the thread becomes free.
"""
TIMEOUT = (5.0, 15.0)
"""The longest time to connect, and the longest time to wait for an answer, in seconds.
apache-airflow-client has no default timeout.
"""
MAX_CLOCK_OFFSET = timedelta(days=1)
"""The largest credible offset between Airflow's clock and the operator's. A larger offset is
ignored."""
TOKEN_PATH = "/auth/token"  # noqa: S105  # a path
"""The path of Airflow's own token endpoint."""
MAX_CURSOR = 4096
"""The maximum number of characters of a page's cursor."""

RENEWED_EVERY = 60.0
"""The minimum time in seconds between two logins after a 403 that says nothing about the token. Such
a 403 may have its cause in the token, for example in its roles. But it may also be about the
operator's permissions for one DAG, and then comes again for each request.
"""
MIN_HIDDEN_HEADER = 8
"""The minimum number of characters of a configured header that is redacted in Airflow's answers. A
shorter value is hardly a secret, and may be part of a word.
"""

_REPEATED = 100
"""The maximum number of different log messages about rows that are left out. Further messages are
not logged.
"""


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
        self,
        url: str,
        login: Login,
        *,
        ca_file: str | None,
        ca_bundle: str | None,
        gate: Gate,
        connections: int = 1,
    ) -> None:
        self._url = url.rstrip("/")
        self._token_url = f"{self._url}{TOKEN_PATH}"
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
        self._tokens = tokens_of(login, self._ask_token, self._ask_provider)
        self._hidden_headers = frozenset(each for each in self._headers.values() if len(each) >= MIN_HIDDEN_HEADER)
        self._hidden_in_logins = Redaction(self._hidden_headers.union(login.secrets()))
        self._hidden = NOTHING_HIDDEN
        self._token = ""
        self._renewed = ("", float("-inf"))
        self._version: tuple[Version, str] | None = None
        self._versions: SingleFlight[tuple[Version, str]] = SingleFlight()
        self._unreadable: set[str] = set()
        self._closed = False
        self.clock_offset = timedelta(0)
        """How far Airflow's clock is ahead of the operator's. A difference of up to two seconds
        counts as zero, because HTTP dates have no fractions of seconds.
        """

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
        if method != "GET" and url != self._token_url:
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
        with _nothing_sent():
            self._supported_version()
        return self._result(self._with_token(method, *args, max_bytes=max_bytes, **query), absent)

    def open(
        self, method: Callable[..., Any], *args: Any, absent: Absence = NEVER, **query: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, and return the successful answer with its body unread. The caller must
        release or close the answer.

        Args:
            method: As for :meth:`ask`.
            args: The method's positional arguments.
            absent: The texts by which Airflow says that the object does not exist.
            query: The method's keyword arguments.

        Raises:
            Exception: The exceptions of :meth:`ask`.
        """
        with _nothing_sent():
            self._supported_version()
        opened: list[urllib3.BaseHTTPResponse] = []

        def keep(response: urllib3.BaseHTTPResponse, base: str, max_bytes: int) -> Reply:
            if not 200 <= response.status < 300:
                return Reply.read(response, base, max_bytes)
            opened.append(response)
            return Reply.head(response, base)

        reply = self._with_token(method, *args, read=keep, **query)
        if opened:
            try:
                reply.assert_json()
            except AirflowUnavailable:
                opened[-1].close()
                raise
            return opened[-1]
        self._result(reply, absent)
        raise AssertionError("an answer without success raises")

    def version(self) -> Version:
        """Return Airflow's major and minor version.

        Raises:
            AirflowUnsupported: The version is too old.
            AirflowUnavailable: Airflow does not answer with its version.
            Exception: The other exceptions of a login, such as AirflowUnauthorized.
        """
        with _nothing_sent():
            return self._supported_version()[0]

    def connection_errors(self) -> AbstractContextManager[None]:
        """Return a context manager that raises AirflowUnavailable if a request gets no answer."""
        return connection_errors(f"Airflow at {self._shown_url}", self._proxy)

    def pages(
        self,
        field: str,
        method: Callable[..., Any],
        *args: Any,
        cursors: bool = False,
        absent: Absence = NEVER,
        skip_too_large: bool = False,
        **query: Any,
    ) -> Iterator[Row]:
        """Request all pages of a list, and yield their rows.

        Args:
            field: The field of a page that holds the rows.
            method: A method of apache-airflow-client's API classes, as for :meth:`ask`.
            args: The method's positional arguments.
            cursors: Whether this list has cursors in Airflow 3.2 and later. Requests then have a
                cursor and an offset, because 3.1 ignores the cursor.
            absent: The texts by which Airflow says that the object to which the list belongs
                does not exist, for example the run of a list of task instances.
            skip_too_large: Whether to leave out a row that is too large to be read. Set this for a
                list of many runs, so that one large conf does not hide the other runs.
            query: The method's keyword arguments.

        Raises:
            AirflowListTooLong: The list has more than ``MAX_PAGES`` (2,000) pages, or has not ended
                after ``MAX_LIST_SECONDS`` (300).
            AirflowUnreadable: A page gives its own cursor as the cursor of the next page, or a page
                holds more rows than requested.
            TooLarge: One row is too large, and ``skip_too_large`` is false.
            Exception: The other exceptions of :meth:`ask`.
        """
        position: dict[str, Any] = {"limit": PAGE, "offset": 0}
        if cursors:
            position["cursor"] = ""
        late = time.monotonic() + MAX_LIST_SECONDS
        for _ in range(MAX_PAGES):
            if time.monotonic() > late:
                raise AirflowListTooLong(
                    f"The list of {field} of {self._shown_url} has not ended after {MAX_LIST_SECONDS:.0f} s."
                )
            try:
                page = self.ask(method, *args, absent=absent, max_bytes=MAX_PAGE_BYTES, **position, **query)
            except TooLarge:
                if position["limit"] > 1:
                    # The page has a large row, for example because of a run's conf. A page with
                    # fewer rows may fit the limit.
                    position["limit"] = max(1, position["limit"] // 10)
                    continue
                if not skip_too_large:
                    raise
                self._log_once(
                    f"{field} of {self._shown_url}, row {position['offset'] + 1}: it is too large to be read"
                )
                # The cursor for the rows after this row is in the page that can't be read. If a
                # request has no cursor, Airflow uses the offset.
                position = {"limit": PAGE, "offset": position["offset"] + 1}
                continue
            rows = page.rows(field)
            if len(rows) > position["limit"]:
                raise AirflowUnreadable(
                    f"Airflow answered with {len(rows)} {field} where {position['limit']} were asked for."
                )
            yield from rows
            position["offset"] += len(rows)
            position["limit"] = PAGE
            if cursors and page.has("next_cursor"):
                next_cursor = page.text_or_none("next_cursor", MAX_CURSOR)
                if next_cursor is not None and next_cursor == position.get("cursor"):
                    raise AirflowUnreadable(f"The pages of {field} of {self._shown_url} lead back to themselves.")
                position["cursor"] = next_cursor
                more = next_cursor is not None
            else:
                more = position["offset"] < page.number("total_entries")
            if not rows or not more:
                return
        raise AirflowListTooLong(f"The list of {field} of {self._shown_url} has not ended after {MAX_PAGES} pages.")

    def each(self, rows: Iterable[Row], read: Callable[[Row], T]) -> Iterator[T]:
        """Call ``read`` with each row, and yield the results. A row for which ``read`` raises
        AirflowUnreadable is left out, and the error is logged. A session logs equal errors once,
        and at most 100 different errors (``_REPEATED``).
        """
        for row in rows:
            try:
                found = read(row)
            except AirflowUnreadable as error:
                self._log_once(str(error))
                continue
            yield found

    def _log_once(self, why: str) -> None:
        if why not in self._unreadable and len(self._unreadable) < _REPEATED:
            self._unreadable.add(why)
            log.warning("a row is left out: %s", why)

    def assert_backfills(self) -> None:
        """Check that this version of Airflow can find the runs of one backfill. If the version is
        too old, the session requests the version again before the next request, because Airflow may
        have been upgraded.

        Raises:
            AirflowUnsupported: The version is too old.
            Exception: The exceptions of :meth:`version`.
        """
        with _nothing_sent():
            number, version = self._supported_version()
        try:
            assert_backfills(number, version, self._shown_url)
        except AirflowUnsupported:
            self._version = None
            raise

    def _with_token(self, method: Callable[..., Any], *args: Any, **query: Any) -> Reply:
        """Send a request with a bearer token. If Airflow refuses the request (401 or 403), send the
        request once more with another token, if there is another token.
        """
        with _nothing_sent():
            token = self._use(self._tokens.token())
        reply = self._send(method, *args, **query)
        if reply.status in (401, 403):
            # Airflow answers with one of these statuses if the token has expired, or if Airflow has
            # restarted and does not know the token any more.
            renew = reply.refuses_token or self._may_renew(token)
            with _nothing_sent():
                another = self._tokens.token(refused=token if renew else None)
            if renew and not reply.refuses_token:
                self._renewed = another, time.monotonic()
            if another != token:
                self._use(another)
                reply = self._send(method, *args, **query)
        return reply

    def _may_renew(self, token: str) -> bool:
        """Return whether another token may help after a 403 that says nothing about the token. A
        token that was obtained after such a 403 is not renewed within ``RENEWED_EVERY``.
        """
        renewed, at = self._renewed
        return token != renewed or time.monotonic() >= at + RENEWED_EVERY

    def _use(self, token: str) -> str:
        """Send this token with all later requests, except logins. Even requests for which Airflow
        needs no token have the token, because a gateway in front of Airflow may require it.
        """
        self.client.default_headers["Authorization"] = f"Bearer {token}"
        if token != self._token:
            # An answer to a request with the earlier token may still come. Authors of MLJobs can
            # choose words of answers, so the redaction is exact.
            self._hidden = Redaction(self._hidden_headers | {token, self._token} - {""}, exact=True)
            self._token = token
        return token

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
            reply = read(method(*args, **query), self._shown_url, max_bytes)
        return replace(reply, hidden=self._hidden)

    def _supported_version(self) -> tuple[Version, str]:
        """Return Airflow's version: the major and minor number, and the full text. A supported
        version is stored for later calls.

        Raises:
            AirflowUnsupported: The version is too old. The next call requests the version again,
                because Airflow may have been upgraded.
            Exception: The other exceptions of a login, such as AirflowUnauthorized.
        """
        return self._version or self._versions.do(self._ask_version)

    def _ask_version(self) -> tuple[Version, str]:
        version = self._first_answer(self._with_token(self._call, "GET", "/api/v2/version")).text("version")
        found = supported(version, self._shown_url), version
        if self._version is None:
            warn_if_untested(*found, self._shown_url)
        self._version = found
        return found

    def _ask_token(self, body: Mapping[str, Any]) -> Row:
        reply = self._send(self._call, "POST", TOKEN_PATH, body)
        return self._first_answer(replace(reply, hidden=self._hidden_in_logins))

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
                connect, read = TIMEOUT
                response = pool.request(
                    "POST",
                    url,
                    body=body,
                    headers=headers,
                    redirect=False,
                    preload_content=False,
                    timeout=urllib3.Timeout(connect=connect, read=read),
                )
                return Reply.read(response, at, MAX_OBJECT_BYTES)

    def _first_answer(self, reply: Reply) -> Row:
        """Return the JSON object of Airflow's answer to a login or to a request for the version.

        Raises:
            AirflowUnavailable: The status is 404, or :meth:`.Reply.result` raises
                :class:`.Answer` or AirflowUnavailable.
            Exception: The other exceptions of :meth:`.Reply.result`.
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
        answer = self.client.call_api(
            method, f"{self._url}{path}", header_params=headers, body=body, _request_timeout=_request_timeout
        )
        response: urllib3.BaseHTTPResponse = answer.response
        return response


@contextmanager
def _nothing_sent() -> Iterator[None]:
    """Run a block that logs in or requests the version. If the block raises AirflowUnavailable,
    change two attributes of the error:

    - ``outcome_unknown`` becomes false, because the caller's own request has not been sent.
    - ``of_one_request`` becomes false. The error affects all requests, because every request needs
      the token and the version.
    """
    try:
        yield
    except AirflowUnavailable as error:
        error.outcome_unknown = error.of_one_request = False
        raise
