"""Decides whether an answer is Airflow's: JSON of a bounded size, with a status of Airflow's API.

A proxy without a backend, a login page, a cache, or another service at the same address may also
answer a request. Such an answer says nothing about runs and DAGs, so it counts as "Airflow is out
of reach" (``docs/operations/airflow.md``, "What counts as an answer").
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import urllib3

from ...core.frozen import frozen
from ...core.text.storable import cut
from ...errors import AirflowError, AirflowForbidden, AirflowUnauthorized, AirflowUnavailable, AirflowUnreadable
from .absence import NEVER, Absence
from .rows import Row

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""The maximum number of bytes of one page of a list. Even a page of a hundred runs, each with the
largest conf that an MLJob may have, stays below this limit."""
MAX_OBJECT_BYTES = 4 * 1024 * 1024
"""The maximum number of bytes of a single object: a run with its conf, a DAG with its params and
documentation."""
MAX_ERROR_BYTES = 64 * 1024
"""The maximum number of bytes that are read of the body of an error."""
BYTES_A_VALUE = 10
"""An answer may hold one JSON value for every 10 bytes of its size limit. Many small values
(``[],``) take thirty times their bytes in memory, and parsing them would block the operator for
minutes."""
FEW_VALUES = 1_000
"""Every answer may hold this number of JSON values, even if its size limit is small."""
MANY_VALUES = 1_000_000
"""No answer may hold more JSON values than this, even if its size limit is large."""
MAX_BODY_SECONDS = 60.0
"""The longest time in seconds for reading the body of an answer."""
MAX_RETRY_AFTER = 120.0
"""The longest ``Retry-After`` in seconds that the operator honours. This is less than half of the
time for which the deletion of an MLJob waits by default until the MLJob's run is cancelled.
"""
CHUNK = 64 * 1024
MAX_QUOTE = 100
"""The maximum number of characters of an answer that an error quotes."""
MAX_DETAIL = 500
"""The maximum number of characters of :attr:`Reply.detail`, Airflow's explanation of an error."""
MAX_KIND = 60
"""The maximum number of characters of a content type in the message of an error."""

_NO_RESULT = (401, 403, 404, 408, 429)
"""Statuses that say nothing about the requested object. A 404 proves that the object does not exist
only if its text is Airflow's (:mod:`.absence`).
"""
_BAD_TOKEN = frozenset({"Invalid JWT token", "Token Expired"})
"""Airflow's explanations of a refused token. Airflow sends them with status 401 or 403
(``core_api/security.py``, resolve_user_from_token).
"""
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class Answer(Exception):
    """An error of Airflow's API whose meaning depends on the operation, such as a 409.

    The session raises this exception, and the operation that sent the request interprets it.

    Attributes:
        status: The HTTP status.
        detail: Airflow's explanation, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Absent(Answer):
    """Airflow says that the object does not exist, with one of the texts in :mod:`.absence`."""


class TooLarge(AirflowUnreadable):
    """The answer has too many bytes, or too many JSON values."""


@frozen
class Reply:
    """The answer to an HTTP request.

    Attributes:
        url: The request's URL, without the query.
        status: The HTTP status.
        content_type: The header Content-Type. Empty if the header is absent.
        location: The header Location, which is the target of a redirect. Empty if the header is
            absent.
        retry_after: The header Retry-After in seconds, at most ``MAX_RETRY_AFTER``. 0 if the header
            is absent.
        date: The header Date, which is the time of the server's clock, in UTC. None if the header
            is absent.
        body: The body. The body of an error is cut to ``MAX_ERROR_BYTES``.
    """

    url: str
    status: int
    content_type: str
    location: str
    retry_after: float
    date: datetime | None
    body: bytes

    @classmethod
    def read(cls, response: urllib3.BaseHTTPResponse, base: str, max_bytes: int) -> Reply:
        """Read an answer from the connection.

        Args:
            response: The response, whose body is not read yet.
            base: The base URL of the server. Its scheme, host and port become part of ``url``.
            max_bytes: The maximum number of bytes of a successful answer.

        Raises:
            TooLarge: The successful answer has more than ``max_bytes`` bytes, or more JSON values
                than ``BYTES_A_VALUE`` allows.
            AirflowUnavailable: The body did not end within ``MAX_BODY_SECONDS``.
            urllib3.exceptions.HTTPError: The connection broke.
        """
        url = _url(response, base)
        succeeded = 200 <= response.status < 300
        body, whole = _body(response, max_bytes if succeeded else MAX_ERROR_BYTES, url)
        if succeeded and not whole:
            raise TooLarge(f"{url} answered with more than {max_bytes} bytes.", outcome_unknown=True)
        if succeeded and _values(body) > (values := min(max(max_bytes // BYTES_A_VALUE, FEW_VALUES), MANY_VALUES)):
            raise TooLarge(f"{url} answered with more than {values} values.", outcome_unknown=True)
        return cls.head(response, base, body)

    @classmethod
    def head(cls, response: urllib3.BaseHTTPResponse, base: str, body: bytes = b"") -> Reply:
        """Return the answer with this body, which the caller has read or is going to read."""
        headers = response.headers
        return cls(
            _url(response, base),
            response.status,
            headers.get("content-type", "").strip(),
            headers.get("location", ""),
            retry_after(headers.get("retry-after", "")),
            _date(headers.get("date", "")),
            body,
        )

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def result(self, absent: Absence = NEVER, source: str = "the Secret that holds them") -> Row:
        """Return the JSON object of a successful answer.

        Args:
            absent: The texts by which Airflow says that the object does not exist.
            source: The name of the place of the credentials, such as a Secret, for error messages.

        Raises:
            Absent: The object does not exist.
            Answer: Another error of Airflow's API, which the operation has to interpret.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: The credentials lack a permission.
            AirflowUnavailable: A server error, or an answer that Airflow doesn't give.
        """
        if self.succeeded:
            return Row(self.json(), self.url, len(self.body))
        detail = self.detail
        if self.status == 404 and detail is not None and absent.proved_by(detail):
            raise Absent(self.status, detail)
        if 400 <= self.status < 500 and self.status not in _NO_RESULT and detail is not None:
            raise Answer(self.status, detail)
        raise self._error(detail, source)

    @property
    def detail(self) -> str | None:
        """Airflow's explanation of an error, in one line. This is the field ``detail`` in FastAPI's
        format for errors.

        The explanation has at most ``MAX_DETAIL`` characters. None if the body is not in this
        format.
        """
        try:
            found = json.loads(self.body) if _JSON.fullmatch(self.content_type) else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("detail") is None:
            return None
        detail = found["detail"]
        if isinstance(detail, list):
            detail = "; ".join(map(_problem, detail))
        elif isinstance(detail, dict):
            detail = detail.get("message") or detail.get("reason") or json.dumps(detail)
        return cut(" ".join(str(detail).split()), MAX_DETAIL)

    def json(self) -> Any:
        """Return the body of a successful answer, as JSON.

        Raises:
            AirflowUnavailable: The content type is not JSON.
            AirflowUnreadable: The body is not valid JSON, or is nested too deeply.
        """
        self.assert_json()
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise AirflowUnreadable(
                f"{self.answered}, which is not whole JSON. Is it Airflow's api-server, or does a proxy cut its answers short?",
                outcome_unknown=True,
            ) from None

    def assert_json(self) -> None:
        """Check the content type of a successful answer.

        Raises:
            AirflowUnavailable: The content type is not JSON.
        """
        if not _JSON.fullmatch(self.content_type):
            # The outcome is unknown: a proxy may have passed the request to Airflow and then
            # answered with a page of its own.
            raise AirflowUnavailable(
                f"{self.answered} and not with JSON. Is it Airflow's api-server? A proxy or a login page in front of it answers like this.",
                outcome_unknown=True,
            )

    def _error(self, detail: str | None, source: str) -> AirflowError:
        """Return the error for an answer that is neither a success nor an :class:`Answer`."""
        text = detail or self._quote
        match self.status:
            case status if status == 401 or (status == 403 and detail in _BAD_TOKEN):
                return AirflowUnauthorized(
                    f"Airflow refused the operator's credentials: {text}. Check {source}{self._wrong_service_hint(detail) or '.'}"
                )
            case 403:
                return AirflowForbidden(
                    f"Airflow's user of the operator lacks a permission: {text}. Give the user in {source} the role that the docs name"
                    f"{self._wrong_service_hint(detail) or '.'}"
                )
            case 429:
                return AirflowUnavailable(f"{self.url} answered 429: {text}", retry_after=self.retry_after)
            case status if status >= 500:
                return AirflowUnavailable(
                    f"{self.url} answered {status}: {text}",
                    outcome_unknown=True,
                    retry_after=self.retry_after,
                    of_one_request=status == 500,
                )
            case status if 300 <= status < 400:
                return AirflowUnavailable(
                    f"{self.url} answered {status}, a redirect to {_host(self.location)}. Airflow's API sends no redirects, and the operator follows none: "
                    "check the URL, and let the operator's requests pass any login page or proxy in front of Airflow.",
                    outcome_unknown=True,
                )
            case 404 if detail is not None:
                return AirflowUnreadable(
                    f"{self.answered}, which is not how Airflow says that what was asked for is not there. Does a proxy answer instead of Airflow, "
                    "or is it the URL of another service?",
                    outcome_unknown=True,
                )
        return AirflowUnavailable(
            f"{self.answered}, which Airflow does not. Is it Airflow's api-server? A proxy or another service in front of it answers like this.",
            outcome_unknown=True,
        )

    @property
    def answered(self) -> str:
        """The URL, the status and a quote of the answer, as the beginning of a message."""
        return f"{self.url} answered {self.status} with {self._quote}"

    @property
    def _quote(self) -> str:
        """A quote of the answer for the message of an error.

        A successful answer may hold a token or a conf, so it is quoted only if it is HTML.
        """
        kind = cut(self.content_type.partition(";")[0], MAX_KIND) or "no content type"
        if not self.body or (self.succeeded and kind != "text/html"):
            return f"{kind} ({len(self.body)} bytes)"
        text = " ".join(self.body[: 4 * MAX_QUOTE].decode(errors="replace").split())
        more = "..." if len(self.body) > 4 * MAX_QUOTE else ""
        return f"{kind} ({cut(text + more, MAX_QUOTE)!r})"

    def _wrong_service_hint(self, detail: str | None) -> str:
        """Return a hint that the answer is not Airflow's. The hint is empty if the answer has a
        ``detail``, because then Airflow has sent the answer.
        """
        return (
            "" if detail is not None else f"; this is not Airflow's answer: does a proxy at {self.url} require a login?"
        )


def retry_after(header: str, now: datetime | None = None) -> float:
    """Return the seconds that a header ``Retry-After`` asks for. The header's value is a number of
    seconds or a date (RFC 9110, 10.2.3).

    The result is at most ``MAX_RETRY_AFTER``. It is 0 if the header is neither a number nor a date.
    """
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", header):
        return min(float(header), MAX_RETRY_AFTER)
    moment = _date(header)
    if moment is None:
        return 0.0
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), MAX_RETRY_AFTER)


def _url(response: urllib3.BaseHTTPResponse, base: str) -> str:
    """Return the URL of an answer without user, password and query. ``base`` is the base URL of the
    server.
    """
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}{urlsplit(response.url or '').path}"


def _host(location: str) -> str:
    """Return the host of a redirect's target, for the message of an error."""
    try:
        return urlsplit(location).hostname or "the same host"
    except ValueError:
        return "no host"


def _date(header: str) -> datetime | None:
    """Return the date in a header as a time in UTC, or None if the header is not a date."""
    try:
        moment = parsedate_to_datetime(header)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def without_user(url: str) -> str:
    """Return a URL without user and password, for the messages of errors."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def clock_offset(date: datetime, now: datetime) -> timedelta:
    """Return how far the server's clock is ahead of the operator's.

    A difference of up to two seconds counts as zero, because HTTP dates have no fractions of
    seconds.

    Args:
        date: The header Date of an answer.
        now: The time by the operator's clock when the answer arrived.
    """
    offset = date - now
    return offset if abs(offset) > timedelta(seconds=2) else timedelta(0)


def _body(response: urllib3.BaseHTTPResponse, max_bytes: int, url: str) -> tuple[bytes, bool]:
    """Read at most ``max_bytes`` bytes of a body. If the body is longer, close the connection.

    Returns:
        The bytes, and whether they are the whole body.

    Raises:
        AirflowUnavailable: The body did not end within ``MAX_BODY_SECONDS``.
    """
    declared = response.headers.get("content-length", "")
    if response.status < 300 and declared.isdecimal() and int(declared) > max_bytes:
        response.close()
        return b"", False
    chunks: list[bytes] = []
    size, late = 0, time.monotonic() + MAX_BODY_SECONDS
    while chunk := response.read1(CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            response.close()
            return b"".join(chunks)[:max_bytes], False
        if time.monotonic() > late:
            response.close()
            raise AirflowUnavailable(
                f"{url} had not sent its whole answer after {MAX_BODY_SECONDS:.0f} s.", outcome_unknown=True
            )
    return b"".join(chunks), True


def _values(body: bytes) -> int:
    """Return an upper bound of the number of JSON values in a body, without parsing the body.

    Commas and brackets within strings are counted too.
    """
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _problem(item: Any) -> str:
    """Return one of FastAPI's validation errors as ``field: message``."""
    if not isinstance(item, dict):
        return str(item)
    location = item.get("loc")
    return f"{'.'.join(map(str, location)) if isinstance(location, list) else location}: {item.get('msg')}"
