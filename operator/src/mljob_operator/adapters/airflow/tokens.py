"""Gets bearer tokens from a Secret, a file, Airflow itself or an OAuth 2 provider. A token of
Airflow or of a provider is renewed before the token expires.

Sources: Airflow's documentation, "Public API authentication"; RFC 6749 for OAuth 2 client
credentials.
"""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

from mljob_contract.airflow_instance import ClientAuthentication

from ...core.airflow_instance.credentials import Login, OAuth2Client, fits_header
from ...core.conf.redaction import Redaction
from ...core.text.storable import cut
from ...errors import AirflowForbidden, AirflowUnauthorized, AirflowUnavailable, AirflowUnreadable
from .answers import Reply, without_user
from .rows import Row
from .single_flight import SingleFlight

MAX_TOKEN = 16 * 1024
"""The maximum number of characters of a token. Airflow's own tokens have a few hundred."""
RENEWED_BEFORE = 60.0
"""The number of seconds before its expiry at which a token is renewed. A token that lives less than
ten minutes is renewed when a tenth of its life is left.
"""
MAX_LIFETIME = 24 * 3600.0
"""The longest time in seconds for which a token is used, even if its provider allows more."""
REFUSED_FOR = 10.0
"""The number of seconds for which a refused login is not repeated. Many MLJobs use the same login, and
many logins with a wrong password may lock the account.
"""
MAX_ERROR = 200
"""The maximum number of characters of a provider's error."""

_HINT = "Is it the OAuth 2 provider's token endpoint?"

AskAirflow = Callable[[Mapping[str, Any]], Row]
"""Sends ``POST /auth/token`` with this body to Airflow, and returns the JSON object of the answer.
Raises AirflowUnauthorized, AirflowForbidden and AirflowUnavailable."""
Post = Callable[[str, bytes, Mapping[str, str]], Reply]
"""Sends a POST request to an OAuth 2 provider. The arguments are the URL, the body and the headers.
Raises AirflowUnavailable."""


class Tokens(Protocol):
    """A source of bearer tokens. Threads may share a source."""

    def token(self, refused: str | None = None) -> str:
        """Return a token whose characters are allowed in an HTTP header.

        Args:
            refused: The token that Airflow has refused, or None. A source without another token
                returns the refused token again.

        Raises:
            AirflowUnauthorized: The configured token or the token in the file is invalid, the file
                can't be read, or the issuer of tokens refuses the login.
            AirflowUnavailable: The issuer of tokens does not answer, or its answer has no valid
                token.
        """
        ...


def tokens_of(login: Login, ask_airflow: AskAirflow, post: Post) -> Tokens:
    """Return the source of tokens for a login."""
    if login.token is not None:
        return FixedToken(login.token.get_secret_value().strip(), login.source)
    if login.token_file is not None:
        return FileToken(login.token_file)
    if login.oauth2 is not None and login.oauth2.token_url is not None:
        return ProviderToken(login.oauth2, login.oauth2.token_url, login.source, post)
    return AirflowToken(login, ask_airflow)


class FixedToken:
    """A token that does not change."""

    def __init__(self, token: str, source: str) -> None:
        self._token = token
        self._source = source

    def token(self, refused: str | None = None) -> str:
        """Return the token, even if Airflow has refused it."""
        del refused
        if not fits_header(self._token):
            raise AirflowUnauthorized(
                f"The token is empty, or has characters that can't be in an HTTP header. Check {self._source}."
            )
        return self._token


class FileToken:
    """A token in a file. A changed file is read again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read: tuple[tuple[int, int, int], str] | None = None

    def token(self, refused: str | None = None) -> str:
        """Return the token that is in the file now, even if Airflow has refused it."""
        del refused
        try:
            with open(self._path, "rb") as file:
                about = os.fstat(file.fileno())
                version = (about.st_ino, about.st_mtime_ns, about.st_size)
                if self._read is not None and self._read[0] == version:
                    return self._read[1]
                content = file.read(MAX_TOKEN + 1)
        except OSError as error:
            raise AirflowUnauthorized(f"The token file {self._path} can't be read: {error.strerror}.") from None
        token = content.decode("ascii", errors="replace").strip()
        if len(content) > MAX_TOKEN or not fits_header(token):
            raise AirflowUnauthorized(
                f"The token file {self._path} holds no token: it is empty or too large, or has characters that can't be in an HTTP header."
            )
        self._read = version, token
        return token


class _RenewedToken(ABC):
    """A token from an issuer. A new token is requested when the current token was refused or is
    about to expire. If the issuer refuses the login, the error is raised again for ``REFUSED_FOR``
    (10) seconds without another request.
    """

    def __init__(self) -> None:
        self._token: str | None = None
        self._until = 0.0
        self._refused: tuple[AirflowUnauthorized, float] | None = None
        self._asked: SingleFlight[str] = SingleFlight()

    def token(self, refused: str | None = None) -> str:
        token = self._token
        if token is not None and token != refused and time.monotonic() < self._until:
            return token
        return self._asked.do(self._renew)

    def _renew(self) -> str:
        if self._refused is not None and time.monotonic() < self._refused[1]:
            raise copy(self._refused[0]) from None
        try:
            token, lifetime = self._ask()
        except AirflowUnauthorized as error:
            # A caller may change the attributes of the error that it gets.
            self._refused = copy(error), time.monotonic() + REFUSED_FOR
            raise
        if not fits_header(token):
            raise AirflowUnreadable(f"{self._issuer} gave a token that can't be in an HTTP header.")
        lifetime = min(lifetime, MAX_LIFETIME)
        self._token, self._until = token, time.monotonic() + lifetime - min(RENEWED_BEFORE, lifetime / 10)
        return token

    @property
    @abstractmethod
    def _issuer(self) -> str:
        """The name of the token's issuer, for error messages."""

    @abstractmethod
    def _ask(self) -> tuple[str, float]:
        """Request a new token, and return the token and its lifetime in seconds."""


class AirflowToken(_RenewedToken):
    """A token from Airflow's own token endpoint, ``/auth/token``. The credentials are a user and a
    password, or an OAuth 2 client if Keycloak is Airflow's auth manager.
    """

    def __init__(self, login: Login, ask_airflow: AskAirflow) -> None:
        super().__init__()
        self._login = login
        self._ask_airflow = ask_airflow

    @property
    def _issuer(self) -> str:
        return "Airflow"

    def _ask(self) -> tuple[str, float]:
        login, client = self._login, self._login.oauth2
        if client is not None:
            subject, body = (
                f"client {client.client_id!r}",
                {
                    "grant_type": "client_credentials",
                    "client_id": client.client_id,
                    "client_secret": client.client_secret.get_secret_value(),
                },
            )
        else:
            password = login.password.get_secret_value() if login.password is not None else ""
            subject, body = f"user {login.user!r}", {"username": login.user or "", "password": password}
        try:
            row = self._ask_airflow(body)
        except (AirflowUnauthorized, AirflowForbidden) as error:
            raise AirflowUnauthorized(f"Airflow refused the login of {subject}. {error}") from error
        return row.text("access_token", MAX_TOKEN), MAX_LIFETIME


class ProviderToken(_RenewedToken):
    """A token that an OAuth 2 provider issues for client credentials (RFC 6749, 4.4)."""

    def __init__(self, client: OAuth2Client, url: str, source: str, post: Post) -> None:
        super().__init__()
        self._client = client
        self._url = url
        self._source = source
        self._post = post
        self._hidden = Redaction(frozenset(client.secrets()))

    @property
    def _issuer(self) -> str:
        return f"The token endpoint {without_user(self._url)}"

    def _ask(self) -> tuple[str, float]:
        reply = replace(self._post(self._url, *self._request()), hidden=self._hidden)
        if not reply.succeeded:
            raise self._refusal(reply)
        try:
            row = Row(reply.json(), reply.url)
            kind, token = row.text_or_none("token_type"), row.text("access_token", MAX_TOKEN)
        except AirflowUnavailable:
            raise AirflowUnreadable(f"{reply.summary}, in which there is no token. {_HINT}") from None
        if kind is not None and kind.lower() != "bearer":
            raise AirflowUnreadable(
                f"{self._issuer} gave a token of type {cut(self._hidden.text(kind), MAX_ERROR)!r}, not a bearer token."
            )
        return token, _lifetime(row)

    def _request(self) -> tuple[bytes, dict[str, str]]:
        client, secret = self._client, self._client.client_secret.get_secret_value()
        form = {"grant_type": "client_credentials"}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if client.scopes:
            form["scope"] = " ".join(client.scopes)
        if client.audience is not None:
            form["audience"] = client.audience
        if client.authentication is ClientAuthentication.BASIC:
            pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": client.client_id, "client_secret": secret}
        return urlencode(form).encode(), headers

    def _refusal(self, reply: Reply) -> AirflowUnauthorized | AirflowUnavailable:
        """Return the error for an unsuccessful answer of the provider: AirflowUnauthorized if the
        provider refuses the client (RFC 6749, 5.2), otherwise AirflowUnavailable.
        """
        error = _oauth2_error(reply)
        if 400 <= reply.status < 500 and reply.status != 429 and error is not None:
            return AirflowUnauthorized(
                f"{self._issuer} refused client {self._client.client_id!r}: {error}. Check {self._source}, the scopes and the audience."
            )
        return AirflowUnavailable(f"{reply.summary}, and gave no token. {_HINT}", retry_after=reply.retry_after)


def _lifetime(row: Row) -> float:
    """Return the lifetime of a token in seconds: the field ``expires_in`` of the provider's answer,
    at most ``MAX_LIFETIME``. If the field is missing or invalid, return ``MAX_LIFETIME``.
    """
    lifetime = row.value("expires_in") if row.has("expires_in") else None
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < math.inf:
        return MAX_LIFETIME
    return float(min(lifetime, MAX_LIFETIME))


def _oauth2_error(reply: Reply) -> str | None:
    """Return the error of a provider, redacted and in one line of at most ``MAX_ERROR`` characters.
    Return None if the answer does not have the format of RFC 6749, 5.2.
    """
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("error"), str):
        return None
    description = found.get("error_description")
    text = f"{found['error']} ({description})" if isinstance(description, str) else found["error"]
    return cut(" ".join(reply.hidden.text(text).split()), MAX_ERROR)
