"""What counts as an answer of Airflow: JSON of a bounded size, with a status that its API gives.

Whatever stands between the operator and Airflow answers too: a proxy without a backend, a login page, a cache, another service at the same address.
Their answers say nothing about runs and DAGs, so each of them is an Airflow out of reach (``docs/operations/airflow.md``, "What counts as an answer").
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
"""Of an answer with a list. A page of a hundred runs, each with the largest conf that an MLJob may have, is below it."""
MAX_OBJECT_BYTES = 4 * 1024 * 1024
"""Of an answer about one thing: a run with its conf, a DAG with its params and documentation."""
MAX_ERROR_BYTES = 64 * 1024
"""What is read of an answer that is an error."""
BYTES_A_VALUE = 10
"""Bytes of an answer for each value in it, on average at least. Many small ones (``[],``) take thirty times their bytes in memory, and minutes to be
read, while nothing else is done."""
FEW_VALUES = 1_000
"""So many may always be there."""
MANY_VALUES = 1_000_000
"""More may never be."""
MAX_BODY_SECONDS = 60.0
"""How long an answer may take from its first byte to its last."""
MAX_RETRY_AFTER = 120.0
"""Seconds of a ``Retry-After`` that are honoured: less than half of what a deletion waits for its cancellation by default."""
CHUNK = 64 * 1024
MAX_QUOTE = 100
"""Characters of an answer that an error quotes."""
MAX_DETAIL = 500
"""Characters of what Airflow says in an error."""
MAX_KIND = 60
"""Characters of a content type."""

_NO_RESULT = (401, 403, 404, 408, 429)
"""Statuses that say nothing about what was asked for: 404 only in words that prove it."""
_BAD_TOKEN = frozenset({"Invalid JWT token", "Token Expired"})
"""What Airflow says of a token with 403 as well as with 401 (``core_api/security.py``, resolve_user_from_token)."""
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class Answer(Exception):
    """An error that Airflow itself gives, not for the session to interpret: the operation knows what it means.

    Attributes:
        status: The HTTP status.
        detail: What Airflow says, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Absent(Answer):
    """Airflow says that what was asked for is not there, in words that prove it (:mod:`.absence`)."""


class TooLarge(AirflowUnreadable):
    """The answer has more bytes, or more values, than it may have."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request.

    Attributes:
        url: What was asked for, without the query.
        content_type: As the header has it; empty where there is none.
        location: Where a redirect leads.
        retry_after: Seconds, bounded; 0 where it is not said.
        date: When it was given, on the clock of whoever gave it.
        body: At most as many bytes as were allowed.
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
        """Take an answer in, no further than ``most`` bytes.

        Raises:
            TooLarge: It succeeded, and is larger, or holds more values than an answer of ``most`` bytes may.
            AirflowUnavailable: It did not end in time.
            urllib3.exceptions.HTTPError: It broke off.
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
        """What Airflow answers to a request that succeeded.

        Args:
            absent: How Airflow says that what was asked for is not there.
            source: Where the credentials are from, for people.

        Raises:
            Absent: It is not there.
            Answer: Another error of Airflow's own, which the operation has to make sense of.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: They may not do this.
            AirflowUnavailable: A server error, or nothing that Airflow answers.
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
        """What FastAPI says in ``detail``, in one line; None where this is not JSON of FastAPI's."""
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
        """The body of an answer that succeeded.

        Raises:
            AirflowUnavailable: It is not JSON.
            AirflowUnreadable: It calls itself JSON and is not, or is too deep to be read.
        """
        if not _JSON.fullmatch(self.content_type):
            # Whether Airflow was asked behind it is not known.
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
        """What an answer means that is neither a success nor for the operation to interpret."""
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
                    f"{self.url} answered {status}, a redirect to {_host(self.location)}. Airflow's API redirects nobody, and the operator follows no redirect: "
                    "check the URL, and let its requests pass a login page or a proxy that stands there.",
                    outcome_unknown=True,
                )
            case 404 if detail is not None:
                return AirflowUnreadable(
                    f"{self.answered}, which is not how Airflow says that what was asked for is not there. Does a proxy answer in its place, "
                    "or is the URL another service's?",
                    outcome_unknown=True,
                )
        return AirflowUnavailable(
            f"{self.answered}, which Airflow does not. Is it Airflow's api-server? A proxy or another service in front of it answers like this.",
            outcome_unknown=True,
        )

    @property
    def answered(self) -> str:
        """Whose answer it is and what came, for people."""
        return f"{self.url} answered {self.status} with {self._quote}"

    @property
    def _quote(self) -> str:
        """What came, for people. What succeeded may hold a token or a conf, and is quoted only where it is a page."""
        kind = cut(self.content_type.partition(";")[0], MAX_KIND) or "no content type"
        if not self.body or (self.succeeded and kind != "text/html"):
            return f"{kind} ({len(self.body)} bytes)"
        text = " ".join(self.body[: 4 * MAX_QUOTE].decode(errors="replace").split())
        more = "..." if len(self.body) > 4 * MAX_QUOTE else ""
        return f"{kind} ({cut(text + more, MAX_QUOTE)!r})"

    def _stranger(self, detail: str | None) -> str:
        """Where the words are not Airflow's."""
        return (
            "" if detail is not None else f"; these are not Airflow's words: does a proxy at {self.url} want a login?"
        )


def retry_after(header: str, now: datetime | None = None) -> float:
    """Seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3: a number or a date), at most ``MAX_RETRY_AFTER``; 0 for what is neither."""
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", header):
        return min(float(header), MAX_RETRY_AFTER)
    moment = _date(header)
    if moment is None:
        return 0.0
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), MAX_RETRY_AFTER)


def _host(location: str) -> str:
    """Where a redirect leads, for people."""
    try:
        return urlsplit(location).hostname or "the same host"
    except ValueError:
        return "no host"


def _date(header: str) -> datetime | None:
    """A date of HTTP's in UTC; None for what is none."""
    try:
        moment = parsedate_to_datetime(header)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def without_user(url: str) -> str:
    """A URL without the user and the password that it may hold, for people."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def clock_offset(date: datetime, now: datetime) -> timedelta:
    """A clock's difference from ours as an answer's date shows it; under two seconds it is HTTP's rounding and counts as none."""
    offset = date - now
    return offset if abs(offset) > timedelta(seconds=2) else timedelta(0)


def _body(response: urllib3.BaseHTTPResponse, most: int, url: str) -> tuple[bytes, bool]:
    """What is read of a body, and whether that is all of it. One that is too long is cut, and its connection closed."""
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
                f"{url} had not answered whole after {MAX_BODY_SECONDS:.0f} s.", outcome_unknown=True
            )
    return b"".join(chunks), True


def _values(body: bytes) -> int:
    """How many values JSON holds, at most: what is in texts is counted as well."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _problem(item: Any) -> str:
    """One of FastAPI's complaints about a request."""
    if not isinstance(item, dict):
        return str(item)
    place = item.get("loc")
    return f"{'.'.join(map(str, place)) if isinstance(place, list) else place}: {item.get('msg')}"
