"""An HTTP gateway in front of a real service, which passes everything on, or answers by itself as gateways do that have lost the service.

It may stand where gateways stand: behind TLS, under a path, with a rule of its own for who gets in, slow, and in front of a service that gives short pages.
"""

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
    """What the gateway says instead of the service."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Guard = Callable[[Mapping[str, str]], Answer | None]
"""Whom the gateway lets in, by the headers of a request (their names in lower case): None, or what it says instead."""

NOT_FOUND = Answer(404, b"404 page not found\n", "text/plain")
"""As Traefik and Go's own servers answer while they have no backend for a path."""
EMPTY_OBJECT = Answer(200, b"{}", "application/json")


class HttpGateway(LoopbackServer):
    """A port that leads to the host and port of a URL, while the block runs.

    Args:
        target: The URL that it leads to.
        answer: What it says instead, from the beginning.
        tls: Its certificate; None: plain HTTP.
        prefix: The path that it stands under, such as ``/airflow``. What is not under it is not found.
        guard: Whom it lets in.
        most_rows: A smaller ``limit`` of lists than was asked for, as where Airflow's ``[api] maximum_page_limit`` is low.
        latency: Seconds that a request takes more.

    Attributes:
        target: As above; from a change on it leads to another service.
        guard: As above.
        instead: What it says instead; None: it passes everything on.
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
        """End the gateway, and its connections to the service."""
        super().close()
        self._http.clear()

    @property
    def url(self) -> str:
        """The gateway's address, with the path that it stands under."""
        return f"{super().url}{self._prefix}"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Its answer to a request."""
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
        """The path with a smaller limit, where lists are short."""
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
        """The service's answer."""
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
