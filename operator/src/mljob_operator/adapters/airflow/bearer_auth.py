"""Adds bearer tokens to requests, and decides when a token that Airflow refuses is renewed. Redacts
the credentials in answers.

Sources: RFC 6750; Airflow's documentation, "Public API authentication".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ...core.airflow_instance.credentials import Login
from ...core.conf.redaction import NOTHING_HIDDEN, Redaction
from .answers import Reply
from .connection_errors import nothing_sent
from .tokens import Tokens

RENEWED_EVERY = 60.0
"""The minimum time in seconds between two logins after a 403 that says nothing about the token. Such
a 403 may have its cause in the token, for example in its roles. But it may also be about the
operator's permissions for one DAG, and then comes again for each request."""
MIN_HIDDEN_HEADER = 8
"""The minimum number of characters of a configured header that is redacted in Airflow's answers. A
shorter value is hardly a secret, and may be part of a word."""


class BearerAuth:
    """The bearer authentication of one session. Threads may share the object.

    Args:
        login: The credentials.
        tokens: The source of the tokens for these credentials.
        headers: The headers that the session sends with all requests except logins.
            :meth:`send` sets the header Authorization in this dict.

    Attributes:
        hidden_in_logins: Redacts the credentials in an answer to a login.
    """

    def __init__(self, login: Login, tokens: Tokens, headers: dict[str, str]) -> None:
        self._tokens = tokens
        self._headers = headers
        values = (value.get_secret_value() for _, value in login.headers)
        self._hidden_headers = frozenset(value for value in values if len(value) >= MIN_HIDDEN_HEADER)
        self._hidden = NOTHING_HIDDEN
        self._token = ""
        self._renewed = ("", float("-inf"))
        self.hidden_in_logins = Redaction(frozenset(login.secrets()))

    def send(self, send: Callable[[], Reply]) -> Reply:
        """Send a request with a bearer token. If Airflow refuses the request (401 or 403), send the
        request once more with another token, if there is another token.

        Args:
            send: Sends the request with the session's headers.

        Returns:
            The last answer. Errors that quote the answer redact the credentials.

        Raises:
            Exception: The exceptions of :meth:`.Tokens.token` and of ``send``.
        """
        with nothing_sent():
            token = self._tokens.token()
        reply = self._send_with(token, send)
        if reply.status in (401, 403):
            # Airflow answers with one of these statuses if the token has expired, or if Airflow has
            # restarted and does not know the token any more. A token that was obtained after a 403
            # that says nothing about the token is not renewed within RENEWED_EVERY.
            renewed, at = self._renewed
            renew = reply.refuses_token or token != renewed or time.monotonic() >= at + RENEWED_EVERY
            with nothing_sent():
                another = self._tokens.token(refused=token if renew else None)
            if renew and not reply.refuses_token:
                self._renewed = another, time.monotonic()
            if another != token:
                reply = self._send_with(another, send)
        return reply

    def _send_with(self, token: str, send: Callable[[], Reply]) -> Reply:
        """Send a request with this token. All later requests have the token, except logins. Even
        requests for which Airflow needs no token have the token, because a gateway in front of
        Airflow may require it.
        """
        self._headers["Authorization"] = f"Bearer {token}"
        if token != self._token:
            # An answer to a request with the earlier token may still come. Authors of MLJobs can
            # choose words of answers, so the redaction is exact.
            self._hidden = Redaction(self._hidden_headers | {token, self._token} - {""}, exact=True)
            self._token = token
        return replace(send(), hidden=self._hidden)
