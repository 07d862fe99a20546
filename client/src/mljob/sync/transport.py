# Generated from mljob.aio by client/generate.py.
"""Sends requests to the Kubernetes API server with the credentials of one person.

After a temporary failure, a request is sent again if the API server can't have acted on the
request, or if sending the request twice has the same effect as sending it once. Requests for
streams are not sent again. A request is also not sent again if its answer arrives, but too slowly
(:data:`.answers.ANSWER_SECONDS`). The next answer would be as slow, and the caller would wait for
minutes without knowing why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from ..credentials import Credential, Credentials
from ..errors import ApiError, BadAnswer, ConfigError, Unavailable
from ..keepalive import detect_dead_peer
from ..kubeconfig import ClusterConfig, is_loopback
from ..retries import MAX_TRIES, is_worth_another_try, wait_seconds
from ..tls import tls_context
from . import runtime
from .answers import lines_of, object_of, refusal_of

if TYPE_CHECKING:
    import httpx2

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""The maximum size of a line of a stream, such as an event of a watch."""
MAX_PARALLEL_REQUESTS: Final = 256
"""The maximum number of requests of one transport at a time. Further requests wait. Streams don't
count, because a stream may last for days, and each wait for an MLJob has a stream.
"""
CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 35.0
"""How long a request waits for the next bytes of an answer, in seconds. The API server ends most
requests after 34 seconds, and all others after 60, except long-running requests such as watches.
"""
MERGE_PATCH: Final = "application/merge-patch+json"


class Transport:
    """The connections to a cluster's API server, with the credentials of one person.

    Args:
        config: The cluster, and the credentials of the person.
        http: A replacement for the connections, for tests. Default: None.
    """

    def __init__(self, config: ClusterConfig, *, http: httpx2.BaseTransport | None = None) -> None:
        self.config = config
        self._credentials = Credentials(config)
        self._http = http
        self._client: httpx2.Client | None = None
        self._identity: Credential | None = None
        self._lock = runtime.lock()
        self._slots = runtime.semaphore(MAX_PARALLEL_REQUESTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        repeatable: bool | None = None,
        tries: int = MAX_TRIES,
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """Send a request, and return the JSON object of the answer.

        Args:
            method: The HTTP method.
            path: The path from the root of the API server, with a leading slash.
            params: The query.
            body: An object to send as JSON.
            content_type: The type of the body.
            repeatable: Whether sending the request twice has the same effect as sending it once. If
                False, the request is sent again only if the API server can't have acted on it.
                Default: True for GET, else False.
            tries: The maximum number of attempts. If the API server refuses the credentials (401)
                and there are new credentials, one attempt sends the request twice.
            deadline: The time at which the caller stops waiting, on the clock of
                ``time.monotonic()``, or None. After this time, no further attempt begins.

        Raises:
            ApiError: The API server refused the request, did not answer, sent its answer too slowly
                (``Unavailable``), or sent an answer that is too large or not a JSON object
                (``BadAnswer``).
            ConfigError: The person's credentials can't be used.
        """
        may_repeat = method == "GET" if repeatable is None else repeatable
        content = None if body is None else json.dumps(body).encode()
        for attempt in range(1, tries + 1):
            try:
                seconds = until(deadline, READ_SECONDS)
                with self._slots, self._send(method, path, params, content, content_type, seconds) as response:
                    if response.is_success:
                        return object_of(response, path)
                    error = refusal_of(response, f"{method} {path}")
                    again = is_worth_another_try(response.status_code, response.headers, repeatable=may_repeat)
            except _Lost as lost:
                error, again = lost.error, may_repeat or not lost.was_sent
            wait = wait_seconds(attempt, error.retry_after)
            if not again or attempt == tries or until(deadline, wait) < wait:
                raise error
            runtime.sleep(wait)
        raise AssertionError("unreachable")

    @contextmanager
    def lines(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        idle_seconds: float = READ_SECONDS,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> Iterator[Iterator[bytes]]:
        """Open a stream for the ``with`` block. Yield an iterator over its lines, without line
        breaks.

        Args:
            path: The path from the root of the API server, with a leading slash.
            params: The query.
            idle_seconds: The maximum wait for the next bytes of the stream, in seconds.
            max_line_bytes: The maximum size of a line, in bytes.

        Raises:
            ApiError: The API server refused the request, the stream broke (``Unavailable``), or a
                line is too long (``BadAnswer``).
            ConfigError: The person's credentials can't be used.
        """
        try:
            with self._send("GET", path, params, None, "", idle_seconds) as response:
                if not response.is_success:
                    raise refusal_of(response, f"GET {path}")
                with runtime.closing(lines_of(response, max_line_bytes, path)) as lines:
                    yield lines
        except _Lost as lost:
            raise lost.error from None

    @contextmanager
    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        content: bytes | None,
        content_type: str,
        read_seconds: float,
    ) -> Iterator[httpx2.Response]:
        import httpx2

        headers = [(b"Content-Type", content_type.encode())] if content is not None else []
        timeout = httpx2.Timeout(READ_SECONDS, connect=min(CONNECT_SECONDS, read_seconds), read=read_seconds)
        # A client of httpx2 that gets a transport with socket options ignores the proxies of the environment.
        extensions: dict[str, Any] = {"trace": _on_connection}
        if self.config.server_name:
            extensions["sni_hostname"] = self.config.server_name
        was_sent = False
        try:
            for may_renew in (True, False):
                client, credential = self._connect()
                request = client.build_request(
                    method,
                    self.config.server + path,
                    params=dict(params or {}),
                    content=content,
                    headers=[*headers, *_encoded(credential)],
                    timeout=timeout,
                    extensions=extensions,
                )
                was_sent = False
                response = client.send(request, stream=True)
                was_sent = True
                try:
                    if response.status_code == 401 and may_renew and self._credentials.refuse(credential):
                        continue
                    yield response
                    return
                finally:
                    response.close()
        except httpx2.TransportError as error:
            unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            raise _Lost(_unavailable(error, self.config, method, path), was_sent or not unsent) from None
        except httpx2.InvalidURL:
            raise BadAnswer(f"{method} {path}: the address is not valid.") from None

    def _connect(self) -> tuple[httpx2.Client, Credential]:
        with self._lock:
            if self._credentials.may_block:
                credential = runtime.in_thread(self._credentials.current)
            else:
                credential = self._credentials.current()
            known = self._identity
            if self._client is None or known is None or known.certificate != credential.certificate:
                self.close()
                self._client = self._new_client(credential)
            self._identity = credential
            return self._client, credential

    def _new_client(self, credential: Credential) -> httpx2.Client:
        import httpx2

        try:
            return httpx2.Client(
                verify=tls_context(self.config, credential) if self._http is None else False,
                proxy=self.config.proxy if self._http is None else None,
                transport=self._http,
                # As in kubectl, proxies of the environment are not for servers on this machine.
                trust_env=not is_loopback(self.config.server),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=30),
                headers={"Accept": "application/json", "User-Agent": "mljob"},
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ConfigError(f"clusters: proxy-url of the context {self.config.context!r}: {error}") from None


def _on_connection(event: str, info: Mapping[str, Any]) -> None:
    """Set the socket options of a new connection. httpx2 calls this function for each step of a
    request.
    """
    if event.endswith("connect_tcp.complete") and (opened := info["return_value"].get_extra_info("socket")):
        detect_dead_peer(opened)


def _encoded(credential: Credential) -> list[tuple[bytes, bytes]]:
    # The name of an impersonated user may have letters outside of ASCII, which httpx refuses in a str.
    return [(name.encode(), value.encode()) for name, value in credential.headers]


def until(deadline: float | None, at_most: float) -> float:
    """Return the seconds until a deadline, at least 0.05 and at most ``at_most``. Without a
    deadline, return ``at_most``.
    """
    return at_most if deadline is None else max(min(at_most, deadline - monotonic()), 0.05)


class _Lost(Exception):
    """A request has no complete answer. ``was_sent`` is False if the API server can't have received
    the request.
    """

    def __init__(self, error: ApiError, was_sent: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.was_sent = was_sent


def _unavailable(error: Exception, config: ClusterConfig, method: str, path: str) -> Unavailable:
    cause = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        cause += "; check certificate-authority-data of the context's cluster"
    return Unavailable(
        f"{method} {path}: no answer from {config.server}: {cause}. Check the context "
        f"{config.context!r}, the network and the proxy."
    )
