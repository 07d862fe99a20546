"""An HTTP gateway in front of a real service.

The gateway passes requests on to the service, or gives an answer of its own, such as the 404 of a
gateway without a backend. It can use TLS, have a path prefix, require a header, be slow, and limit
the number of entries in a page of a list.
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
    """A response that the gateway sends: a response of its own, or the response of the service.

    Attributes:
        headers: Further headers. A response that is passed on has none of the service's headers
            except Content-Type.
    """

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


class HttpGateway(LoopbackServer):
    """A gateway in front of one service. The gateway runs during the ``with`` block.

    Args:
        target: The service's URL.
        answer: The answer to every request, until a test sets ``instead``. With None, requests are
            passed on.
        tls: The gateway's TLS context, or None for plain HTTP.
        prefix: The gateway's path, such as ``/airflow``. Requests to other paths are answered with
            404.
        guard: A function that checks the headers of each request. It returns the gateway's answer
            if the request may not pass, and None otherwise.
        most_rows: A greater ``limit`` in a request is replaced by this number before the request is
            passed on. This has the effect of a low ``[api] maximum_page_limit`` of Airflow. With
            None, ``limit`` is not changed.
        latency: Seconds of delay for each request.

    Attributes:
        target: The service's URL. A change takes effect with the next request.
        guard: The argument ``guard``. A change takes effect with the next request.
        instead: The answer to every request, or None if requests are passed on.
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
        """Stop the gateway, and close its connections to the service."""
        super().close()
        self._http.clear()

    @property
    def url(self) -> str:
        """The gateway's URL, with its path."""
        return f"{super().url}{self._prefix}"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the gateway's answer to a request, the first of these that applies: the attribute
        ``instead``, if it is set; 404, if the path lacks the prefix; the refusal by ``guard``; the
        service's answer.
        """
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
        """Return the path with its query. A ``limit`` in the query that is greater than
        ``most_rows`` is replaced by ``most_rows``.
        """
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
        """Send a request to the service, and return the service's answer. Redirects are returned,
        not followed.
        """
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
