"""Decides whether an HTTP answer comes from Airflow's API, and reads its result or error.

A proxy without a backend, a login page, a cache, or another service at the same URL may also
answer. Such an answer says nothing about runs and DAGs, so Airflow counts as unavailable
(``docs/operations/airflow.md``, "What counts as an answer").
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import urllib3

from ...core.conf.redaction import NOTHING_HIDDEN, Redaction
from ...core.frozen import frozen
from ...core.text.storable import cut
from ...errors import AirflowError, AirflowForbidden, AirflowUnauthorized, AirflowUnavailable, AirflowUnreadable
from .absence import NEVER, Absence
from .bodies import MAX_ERROR_BYTES, read_body
from .response_headers import date_of, retry_after
from .rows import Row

MAX_QUOTE = 100
"""The maximum number of characters of an answer that an error quotes."""
MAX_DETAIL = 500
"""The maximum number of characters of Airflow's explanation of an error in the operator's errors."""
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
    """The exception for a 4xx response of Airflow's API whose meaning depends on the request, such
    as a 409. The caller has to interpret the status.

    Attributes:
        status: The HTTP status.
        detail: Airflow's explanation, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Absent(Answer):
    """The exception for Airflow's answer that the requested object does not exist. :mod:`.absence`
    says which answers prove this.
    """


@frozen
class Reply:
    """The answer to an HTTP request.

    Attributes:
        url: The request's URL, without the query.
        status: The HTTP status.
        content_type: The header Content-Type, or an empty text.
        location: The header Location, or an empty text.
        retry_after: The header Retry-After in seconds, at most
            ``response_headers.MAX_RETRY_AFTER``. 0 if the header is absent or invalid.
        date: The header Date, in UTC. None if the header is absent or invalid.
        body: The body. The body of an error is cut to ``bodies.MAX_ERROR_BYTES``.
        hidden: Redacts the secrets of the request. A proxy or a token endpoint may quote its request
            in an answer, so the errors of this class quote a redacted answer.
    """

    url: str
    status: int
    content_type: str
    location: str
    retry_after: float
    date: datetime | None
    body: bytes
    hidden: Redaction = NOTHING_HIDDEN

    @classmethod
    def read(cls, response: urllib3.BaseHTTPResponse, base: str, max_bytes: int) -> Reply:
        """Read an answer from the connection.

        Args:
            response: The response, with its body unread.
            base: The base URL of the server.
            max_bytes: The maximum number of bytes of a successful answer.

        Raises:
            TooLarge: The successful answer has more than ``max_bytes`` bytes, or more JSON values
                than :func:`.read_body` allows.
            AirflowUnavailable: The body did not end within ``bodies.MAX_BODY_SECONDS``.
            urllib3.exceptions.HTTPError: The connection broke.
        """
        return cls.head(response, base, read_body(response, max_bytes, _url(response, base)))

    @classmethod
    def head(cls, response: urllib3.BaseHTTPResponse, base: str, body: bytes = b"") -> Reply:
        """Return a reply with the status and the headers of ``response``. ``body`` is the body, if
        the caller has read it.
        """
        headers = response.headers
        return cls(
            _url(response, base),
            response.status,
            headers.get("content-type", "").strip(),
            headers.get("location", ""),
            retry_after(headers.get("retry-after", "")),
            date_of(headers.get("date", "")),
            body,
        )

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def refuses_token(self) -> bool:
        """Whether the token is wrong or expired. A 403 may also mean that a permission is missing."""
        return self.status == 401 or (self.status == 403 and self.detail in _BAD_TOKEN)

    def result(self, absent: Absence = NEVER, source: str = "the Secret that holds them") -> Row:
        """Return the JSON object in the body of a successful answer.

        Args:
            absent: The texts by which Airflow says that the requested object does not exist.
            source: Where the credentials are stored, for error messages, such as
                ``Secret airflow-prod``.

        Raises:
            Absent: The requested object does not exist.
            Answer: Airflow's API has sent a 4xx error whose meaning depends on the request, such as
                a 409.
            AirflowUnauthorized: The credentials are wrong or expired.
            AirflowForbidden: The credentials lack a permission.
            AirflowUnavailable: The server has failed or gets too many requests, or the answer is
                not from Airflow.
            AirflowUnreadable: A successful answer has the content type of JSON, but its body is
                not a JSON object. Or the answer is a 404 whose ``detail`` is none of the texts of
                ``absent``.
        """
        if self.succeeded:
            return Row(self.json(), self.url, len(self.body))
        detail = self.detail
        if self.status == 404 and detail is not None and absent.proved_by(detail):
            raise Absent(self.status, self._shown(detail))
        if 400 <= self.status < 500 and self.status not in _NO_RESULT and detail is not None:
            raise Answer(self.status, self._shown(detail))
        raise self._error(detail, source)

    @property
    def detail(self) -> str | None:
        """Airflow's explanation of an error, in one line. The explanation is not redacted, and has
        any length. None if the answer does not have the format of Airflow's errors: a JSON object
        with the field ``detail``.
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
        return " ".join(str(detail).split())

    def _shown(self, detail: str) -> str:
        return cut(self.hidden.text(detail), MAX_DETAIL)

    def json(self) -> Any:
        """Return the body of a successful answer, parsed as JSON.

        Raises:
            AirflowUnavailable: The content type is not JSON.
            AirflowUnreadable: The body is not valid JSON, or is nested too deeply.
        """
        self.assert_json()
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise AirflowUnreadable(
                f"{self.summary}, which is not whole JSON. Is it Airflow's api-server, or does a proxy cut its answers short?",
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
                f"{self.summary} and not with JSON. Is it Airflow's api-server? A proxy or a login page in front of it answers like this.",
                outcome_unknown=True,
            )

    def _error(self, detail: str | None, source: str) -> AirflowError:
        """Return the exception for an answer that says nothing about the requested object, for
        example a server error or a missing permission. ``source`` says where the credentials are
        stored.
        """
        text = self._shown(detail) if detail else self._quote
        match self.status:
            case _ if self.refuses_token:
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
                    f"{self.summary}, which is not how Airflow says that what was asked for is not there. Does a proxy answer instead of Airflow, "
                    "or is it the URL of another service?",
                    outcome_unknown=True,
                )
        return AirflowUnavailable(
            f"{self.summary}, which Airflow does not. Is it Airflow's api-server? A proxy or another service in front of it answers like this.",
            outcome_unknown=True,
        )

    @property
    def summary(self) -> str:
        """The beginning of an error message: the request's URL, the status and a quote of the
        answer.
        """
        return f"{self.url} answered {self.status} with {self._quote}"

    @property
    def _quote(self) -> str:
        """The content type and the beginning of the body, for error messages. The body of a
        successful answer is quoted only if it is HTML, because other bodies may contain a token or
        a conf.
        """
        kind = cut(self.content_type.partition(";")[0], MAX_KIND) or "no content type"
        if not self.body or (self.succeeded and kind != "text/html"):
            return f"{kind} ({len(self.body)} bytes)"
        was_cut = not self.succeeded and len(self.body) >= MAX_ERROR_BYTES
        redact = self.hidden.cut_off if was_cut else self.hidden.text
        text = " ".join(redact(self.body.decode(errors="replace")).split())
        return f"{kind} ({cut(text, MAX_QUOTE)!r})"

    def _wrong_service_hint(self, detail: str | None) -> str:
        return (
            "" if detail is not None else f"; this is not Airflow's answer: does a proxy at {self.url} require a login?"
        )


def _url(response: urllib3.BaseHTTPResponse, base: str) -> str:
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}{urlsplit(response.url or '').path}"


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or "the same host"
    except ValueError:
        return "no host"


def without_user(url: str) -> str:
    """Return a URL without user and password, for error messages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _problem(item: Any) -> str:
    """Return a validation error of FastAPI as ``field: message``."""
    if not isinstance(item, dict):
        return str(item)
    location = item.get("loc")
    return f"{'.'.join(map(str, location)) if isinstance(location, list) else location}: {item.get('msg')}"
