"""Which answers count as Airflow's: JSON of a bounded size, with a status of Airflow's API.

Requests may also be answered by a proxy without a backend, a login page, a cache, or another
service at the same address. Such answers say nothing about runs and DAGs, so they mean that Airflow
is out of reach (``docs/operations/airflow.md``, "What counts as an answer").
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import urllib3

from ...core.text.storable import cut
from ...errors import AirflowError, AirflowForbidden, AirflowUnauthorized, AirflowUnavailable, AirflowUnreadable
from .absence import NEVER, Absence
from .rows import Row

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""The most bytes of a list. A page of a hundred runs, each with the largest conf of an MLJob, is
smaller."""
MAX_OBJECT_BYTES = 4 * 1024 * 1024
"""The most bytes of a single object: a run with its conf, a DAG with its params and
documentation."""
MAX_ERROR_BYTES = 64 * 1024
"""The most bytes that are read of an error."""
BYTES_A_VALUE = 10
"""The least average number of bytes per value of an answer. Many small values (``[],``) take thirty
times their bytes in memory, and reading them would block the operator for minutes."""
FEW_VALUES = 1_000
"""The number of values that any answer may have."""
MANY_VALUES = 1_000_000
"""The most values that an answer may have."""
MAX_BODY_SECONDS = 60.0
"""The longest time in seconds from the first byte of an answer to the last."""
MAX_RETRY_AFTER = 120.0
"""The longest ``Retry-After`` in seconds that is honoured: less than half of the default time that
a deletion waits for its cancellation."""
CHUNK = 64 * 1024
MAX_QUOTE = 100
"""The most characters of an answer that an error quotes."""
MAX_DETAIL = 500
"""The most characters of an error's detail."""
MAX_KIND = 60
"""The most characters of a content type in a message."""

_NO_RESULT = (401, 403, 404, 408, 429)
"""Statuses that are no result of the request. 404 is a result only with a text that proves it."""
_BAD_TOKEN = frozenset({"Invalid JWT token", "Token Expired"})
"""The details of a refused token. Airflow gives them with 403 as well as with 401
(``core_api/security.py``, resolve_user_from_token)."""
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class Answer(Exception):
    """An error of Airflow's API that the operation interprets, not the session.

    Attributes:
        status: The HTTP status.
        detail: Airflow's explanation, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Absent(Answer):
    """Airflow says, with a text that proves it, that the object does not exist
    (:mod:`.absence`).
    """


class TooLarge(AirflowUnreadable):
    """The answer has too many bytes, or too many values."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request.

    Attributes:
        url: The request's URL, without the query.
        status: The HTTP status.
        content_type: The header Content-Type; empty if absent.
        location: The header Location: the target of a redirect.
        retry_after: The header Retry-After in seconds, bounded; 0 if absent.
        date: The header Date, by the server's clock; None if absent.
        body: The body, up to the allowed number of bytes.
    """

    url: str
    status: int
    content_type: str
    location: str
    retry_after: float
    date: datetime | None
    body: bytes

    @classmethod
    def read(cls, response: urllib3.BaseHTTPResponse, base: str, most: int) -> Reply:
        """Read an answer, up to ``most`` bytes.

        Raises:
            TooLarge: The successful answer has more bytes, or more values than ``most`` bytes may
                hold.
            AirflowUnavailable: The answer did not end in time.
            urllib3.exceptions.HTTPError: The connection broke.
        """
        parts = urlsplit(base)
        url = f"{parts.scheme}://{parts.netloc}{urlsplit(response.url or '').path}"
        succeeded = 200 <= response.status < 300
        body, whole = _body(response, most if succeeded else MAX_ERROR_BYTES, url)
        if succeeded and not whole:
            raise TooLarge(f"{url} answered with more than {most} bytes.", outcome_unknown=True)
        if succeeded and _values(body) > (values := min(max(most // BYTES_A_VALUE, FEW_VALUES), MANY_VALUES)):
            raise TooLarge(f"{url} answered with more than {values} values.", outcome_unknown=True)
        headers = response.headers
        return cls(
            url,
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
        """The JSON object of a successful answer.

        Args:
            absent: The texts by which Airflow says that the object does not exist.
            source: The source of the credentials, for people.

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
        """FastAPI's ``detail``, in one line; None: the body is not an error of FastAPI's."""
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
        """The body of a successful answer, as JSON.

        Raises:
            AirflowUnavailable: The content type is not JSON.
            AirflowUnreadable: The body is not valid JSON, or is nested too deeply.
        """
        if not _JSON.fullmatch(self.content_type):
            # A proxy may have answered after it had passed the request to Airflow.
            raise AirflowUnavailable(
                f"{self.answered} and not with JSON. Is it Airflow's api-server? A proxy or a login page in front of it answers like this.",
                outcome_unknown=True,
            )
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise AirflowUnreadable(
                f"{self.answered}, which is not whole JSON. Is it Airflow's api-server, or does a proxy cut its answers short?",
                outcome_unknown=True,
            ) from None

    def _error(self, detail: str | None, source: str) -> AirflowError:
        """The error for an answer that is neither a success nor an Answer for the operation."""
        told = detail or self._quote
        match self.status:
            case status if status == 401 or (status == 403 and detail in _BAD_TOKEN):
                return AirflowUnauthorized(
                    f"Airflow refused the operator's credentials: {told}. Check {source}{self._stranger(detail) or '.'}"
                )
            case 403:
                return AirflowForbidden(
                    f"Airflow's user of the operator lacks a permission: {told}. Give the user in {source} the role that the docs name"
                    f"{self._stranger(detail) or '.'}"
                )
            case 429:
                return AirflowUnavailable(f"{self.url} answered 429: {told}", retry_after=self.retry_after)
            case status if status >= 500:
                return AirflowUnavailable(
                    f"{self.url} answered {status}: {told}",
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
        """The URL, the status and a quote of the answer, for people."""
        return f"{self.url} answered {self.status} with {self._quote}"

    @property
    def _quote(self) -> str:
        """A quote of the answer, for people.

        A successful answer may hold a token or a conf, so it is quoted only if it is HTML.
        """
        kind = cut(self.content_type.partition(";")[0], MAX_KIND) or "no content type"
        if not self.body or (self.succeeded and kind != "text/html"):
            return f"{kind} ({len(self.body)} bytes)"
        text = " ".join(self.body[: 4 * MAX_QUOTE].decode(errors="replace").split())
        more = "..." if len(self.body) > 4 * MAX_QUOTE else ""
        return f"{kind} ({cut(text + more, MAX_QUOTE)!r})"

    def _stranger(self, detail: str | None) -> str:
        """A hint that the answer is not Airflow's; empty if it is."""
        return (
            "" if detail is not None else f"; this is not Airflow's answer: does a proxy at {self.url} require a login?"
        )


def retry_after(header: str, now: datetime | None = None) -> float:
    """The seconds of a ``Retry-After`` (RFC 9110, 10.2.3: a number or a date).

    At most ``MAX_RETRY_AFTER``; 0 if the header is neither a number nor a date.
    """
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", header):
        return min(float(header), MAX_RETRY_AFTER)
    moment = _date(header)
    if moment is None:
        return 0.0
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), MAX_RETRY_AFTER)


def _host(location: str) -> str:
    """The host of a redirect, for people."""
    try:
        return urlsplit(location).hostname or "the same host"
    except ValueError:
        return "no host"


def _date(header: str) -> datetime | None:
    """An HTTP date in UTC; None: the header is not a date."""
    try:
        moment = parsedate_to_datetime(header)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def without_user(url: str) -> str:
    """A URL without user and password, for people."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def clock_offset(date: datetime, now: datetime) -> timedelta:
    """How far the clock of an answer's date is ahead of ``now``.

    A difference of up to two seconds counts as none, because HTTP dates have no fractions.
    """
    offset = date - now
    return offset if abs(offset) > timedelta(seconds=2) else timedelta(0)


def _body(response: urllib3.BaseHTTPResponse, most: int, url: str) -> tuple[bytes, bool]:
    """The body, up to ``most`` bytes, and whether it is complete. Otherwise the connection is
    closed.
    """
    declared = response.headers.get("content-length", "")
    if response.status < 300 and declared.isdecimal() and int(declared) > most:
        response.close()
        return b"", False
    chunks: list[bytes] = []
    size, late = 0, time.monotonic() + MAX_BODY_SECONDS
    while chunk := response.read1(CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            response.close()
            return b"".join(chunks)[:most], False
        if time.monotonic() > late:
            response.close()
            raise AirflowUnavailable(
                f"{url} had not sent its whole answer after {MAX_BODY_SECONDS:.0f} s.", outcome_unknown=True
            )
    return b"".join(chunks), True


def _values(body: bytes) -> int:
    """An upper bound of the number of JSON values: characters within strings are counted too."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _problem(item: Any) -> str:
    """One of FastAPI's validation errors, as text."""
    if not isinstance(item, dict):
        return str(item)
    place = item.get("loc")
    return f"{'.'.join(map(str, place)) if isinstance(place, list) else place}: {item.get('msg')}"
