"""Sends requests to Airflow's REST API, through apache-airflow-client.

The URL and the credentials come from an Airflow Connection. Every request has a timeout. Answers
are read as JSON, because the client's models refuse answers of newer Airflow versions
(``docs/adr/0005``). Every failed request raises an :class:`AirflowApiError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mljob_airflow import settings
from mljob_airflow.truncation import truncated

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 60.0
"""The longest wait for an answer. A busy Airflow needs many seconds to set a batch of task
instances to failed."""
MAX_DETAIL_LENGTH = 500
"""The maximum number of characters of an answer that the text of an error quotes."""
WAY_OUT = "Check that the host of the Airflow Connection is the URL of Airflow's API server."


class AirflowApiError(Exception):
    """A request to Airflow's REST API failed.

    Attributes:
        status: The HTTP status of the answer, or ``None`` if the connection failed.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL of Airflow's API server, and the credentials.

    Attributes:
        base_url: The API server's URL, without ``/api/v2``.
        login: The user's name, or ``None`` if ``password`` is a bearer token.
        password: The user's password, or a bearer token.
        verify_tls: Whether the server's certificate is verified.
        ca_file: The path of a PEM file with certificate authorities, or ``None`` for the system's
            authorities.
    """

    base_url: str
    login: str | None
    password: str | None
    verify_tls: bool = True
    ca_file: str | None = None

    @classmethod
    def configured(cls) -> Endpoint:
        """Return the endpoint of the Airflow Connection that ``[mljob] airflow_conn_id`` names.

        Raises:
            AirflowNotFoundException: The Connection does not exist.
            ValueError: A field of the Connection is invalid, see :meth:`from_connection`.
        """
        from airflow.sdk import Connection

        return cls.from_connection(Connection.get(settings.airflow_conn_id()))

    @classmethod
    def from_connection(cls, connection: Any) -> Endpoint:
        """Return the endpoint that an Airflow Connection describes.

        These fields of the Connection are used:

        - ``host``: a URL (``https://airflow.example/base``), or a host name. For a host name,
          ``schema`` is the URL's scheme (``http`` by default). A user's name and password in the
          URL are ignored, because links and errors quote the URL.
        - ``port``: the server's port, if ``host`` has no port.
        - ``login`` and ``password``: the user's name and password. Without ``login``, ``password``
          is a bearer token.
        - ``verify`` in the extra: whether the server's certificate is verified (``true`` by
          default), or the path of a PEM file with certificate authorities. ``true`` and ``false``
          may be strings.

        Raises:
            ValueError: The Connection has no ``host``, ``host`` is not a valid URL, or ``port``
                differs from the port in ``host``.
        """
        host = connection.host or ""
        if not host:
            raise ValueError("the Airflow Connection has no host: set it to the URL of Airflow's API server")
        if "://" not in host:
            host = f"{connection.schema or 'http'}://{host}"
        verify = _verify((connection.extra_dejson or {}).get("verify", True))
        return cls(
            base_url=_server_url(host, connection.port).rstrip("/"),
            login=connection.login or None,
            password=connection.password or None,
            verify_tls=verify is not False,
            ca_file=verify if isinstance(verify, str) else None,
        )


def _server_url(url: str, port: int | None) -> str:
    """Return a URL with the port of an Airflow Connection, and without a user's name and password.

    Raises:
        ValueError: The URL is invalid, or has another port.
    """
    # The texts of the errors don't quote what is before an @, which may be a password.
    quoted = truncated(url.rpartition("@")[2], MAX_DETAIL_LENGTH)
    try:
        parts = urlsplit(url)
        own, is_valid = parts.port, bool(parts.hostname)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(
            f"the host of the Airflow Connection is not a valid URL: {quoted!r}; set it to the URL of Airflow's API server, for example https://airflow.example:8080"
        )
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    if not port or own == port:
        return parts.geturl()
    if own is not None:
        raise ValueError(
            f"the Airflow Connection has the port {port}, and its host {quoted!r} has the port {own}: remove one of them"
        )
    return parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{port}").geturl()


def _verify(given: Any) -> Any:
    texts = {"true": True, "false": False}
    return texts.get(given.strip().lower(), given) if isinstance(given, str) else given


def request(operation: str, method: Callable[..., Any], *path: Any, **query: Any) -> Any:
    """Send a request to Airflow's REST API, with a timeout.

    Args:
        operation: The request in words, for the text of an error, for example ``list pools``.
        method: The client's method for this request. Its name ends in ``_without_preload_content``.
        path: The method's path parameters, and its body if it has one.
        query: The method's query parameters.

    Returns:
        A ``urllib3.HTTPResponse`` with an unread body. Read the body in a block of
        :func:`connection_errors`.

    Raises:
        AirflowApiError: There was no answer, or the answer's status is not 200.
    """
    with connection_errors(operation):
        response = method(*path, **query, _request_timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))
        if response.status != 200:
            raise AirflowApiError(f"could not {operation}: {response.status} {detail(response.data)}", response.status)
    return response


@contextmanager
def connection_errors(operation: str) -> Iterator[None]:
    """Raise an :class:`AirflowApiError` if the connection to Airflow fails in the ``with`` block.

    Args:
        operation: The request in words, as for :func:`request`.
    """
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError as error:
        raise AirflowApiError(f"could not {operation}: {error}") from error


def ask(operation: str, method: Callable[..., Any], *path: Any, **query: Any) -> Mapping[str, Any]:
    """Send a :func:`request`, and return the JSON object of the answer.

    Raises:
        AirflowApiError: The request failed, or the answer is not a JSON object.
    """
    response = request(operation, method, *path, **query)
    with connection_errors(operation):
        body = response.data
    answer = _json_object(body)
    if answer is None:
        raise AirflowApiError(
            f"could not {operation}: the answer is not a JSON object. {WAY_OUT} The answer: {_text(body)}",
            response.status,
        )
    return answer


def ask_or_none(operation: str, method: Callable[..., Any], *path: Any, **query: Any) -> Mapping[str, Any] | None:
    """Send a :func:`request`, and return the JSON object of the answer. If Airflow answers 404,
    return ``None``.
    """
    try:
        return ask(operation, method, *path, **query)
    except AirflowApiError as error:
        if error.status == 404:
            return None
        raise


def connect(endpoint: Endpoint) -> Any:
    """Return an ``airflow_client.client.ApiClient``. If the endpoint has a ``login``, log in first.

    Raises:
        AirflowApiError: The login failed.
    """
    # Imported here, because the import of the client takes a second and 50 MB of memory, and only
    # some tasks need the client.
    from airflow_client import client

    configuration = client.Configuration(host=endpoint.base_url)
    configuration.verify_ssl = endpoint.verify_tls
    if endpoint.ca_file:
        configuration.ssl_ca_cert = endpoint.ca_file
    configuration.access_token = fetch_token(endpoint) if endpoint.login else endpoint.password
    return client.ApiClient(configuration)


def fetch_token(endpoint: Endpoint) -> str:
    """Log in with the user's name and password, and return the token (Airflow's documentation,
    "Public API", authentication).

    Raises:
        AirflowApiError: There was no answer, Airflow refused the login, or the answer has no token.
    """
    import urllib3

    url = f"{endpoint.base_url}/auth/token"
    pool = urllib3.PoolManager(
        cert_reqs="CERT_REQUIRED" if endpoint.verify_tls else "CERT_NONE", ca_certs=endpoint.ca_file
    )
    with connection_errors(f"log in at {url}"):
        answer = pool.request(
            "POST",
            url,
            body=json.dumps({"username": endpoint.login, "password": endpoint.password}),
            headers={"Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
        )
    if answer.status not in {200, 201}:
        raise AirflowApiError(f"could not log in at {url} as {endpoint.login}: {answer.status}", answer.status)
    token = (_json_object(answer.data) or {}).get("access_token")
    if not isinstance(token, str) or not token:
        # The answer is not quoted, because it may contain a token.
        raise AirflowApiError(
            f"could not log in at {url} as {endpoint.login}: the answer is not a JSON object with an access_token. {WAY_OUT}",
            answer.status,
        )
    return token


def detail(body: Any) -> str:
    """Return the explanation from the body of an answer with an error status: the field ``detail``,
    or else the whole body as text. Longer texts are cut to :data:`MAX_DETAIL_LENGTH` characters.
    """
    answer = _json_object(body) or {}
    return truncated(str(answer["detail"]), MAX_DETAIL_LENGTH) if "detail" in answer else _text(body)


def _json_object(body: Any) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(body)
    except (TypeError, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, Mapping) else None


def _text(body: Any) -> str:
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    return truncated(" ".join(text.split()), MAX_DETAIL_LENGTH)
