from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import urllib3

from tests.live.loopback import LoopbackServer, QuietHandler

KEPT = ("authorization", "content-type", "accept")
"""Headers of a request that are passed on."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Guard = Callable[[Mapping[str, str]], Answer | None]
"""A function that checks the headers of a request. The names of the headers are in lower case.

The function returns None if the request may pass, and the gateway's answer otherwise.
"""

NOT_FOUND = Answer(404, b"404 page not found\n", "text/plain")
"""The answer of Traefik, and of servers in Go, to a path without a backend."""
EMPTY_OBJECT = Answer(200, b"{}", "application/json")


def only_with(token: str, status: int = 401) -> Guard:
    """Return a guard that refuses requests without this bearer token."""

    def guard(headers: Mapping[str, str]) -> Answer | None:
        if headers.get("authorization") == f"Bearer {token}":
            return None
        return Answer(status, b"<html>Unauthorized</html>", "text/html")

    return guard


class HttpGateway(LoopbackServer):
    """A gateway on loopback in front of one service.

    Args:
        target: The service's URL.
        answer: The answer to every request, or None to pass requests on.
        tls: The gateway's TLS context, or None for plain HTTP.
        prefix: The gateway's path, such as ``/airflow``. Requests to other paths get a 404.
        guard: Checks the headers of each request, and returns an error response or None.
        most_rows: The maximum of the query parameter ``limit``, or None for no maximum. The gateway
            replaces a greater value with this maximum, as Airflow does with
            ``[api] maximum_page_limit``.
        latency: Seconds of delay for each request.

    Attributes:
        instead: The answer to every request, or None. The first value is the argument ``answer``. A
            test may set another value.
    """

    def __init__(
        self,
        target: str,
        answer: Answer | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        prefix: str = "",
        guard: Guard | None = None,
        most_rows: int | None = None,
        latency: float = 0.0,
    ) -> None:
        self.target = target
        self.instead = answer
        self.guard = guard
        self._prefix = prefix
        self._most_rows = most_rows
        self._latency = latency
        self._http = urllib3.PoolManager(retries=False, timeout=30)
        super().__init__(_handler(self), tls=tls)

    def close(self) -> None:
        super().close()
        self._http.clear()

    @property
    def url(self) -> str:
        return f"{super().url}{self._prefix}"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        time.sleep(self._latency)
        if self.instead is not None:
            return self.instead
        if not path.startswith(f"{self._prefix}/"):
            return NOT_FOUND
        if self.guard is not None and (refused := self.guard(headers)) is not None:
            return refused
        kept = {name: value for name, value in headers.items() if name in KEPT}
        return self._pass_on(method, self._shortened(path.removeprefix(self._prefix)), kept, body)

    def _shortened(self, path: str) -> str:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self._most_rows is None or "limit" not in query:
            return path
        pairs = [
            (name, str(min(int(value), self._most_rows)) if name == "limit" else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        return parts._replace(query=urlencode(pairs)).geturl()

    def _pass_on(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = self._http.request(
            method, self.target.rstrip("/") + path, headers=dict(headers), body=body, redirect=False
        )
        return Answer(answer.status, answer.data, answer.headers.get("content-type", ""))


def _handler(gateway: HttpGateway) -> type[QuietHandler]:
    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = gateway.answer(self.command, self.path, headers, self.content())
            self.reply(said.status, said.body, said.content_type, said.headers)

    return Handler
