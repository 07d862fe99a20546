"""A fake OAuth 2 provider and its client."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl

from pydantic import SecretStr

from mljob_operator.core.airflow_instance.credentials import OAuth2Client
from tests.live.loopback import LoopbackServer, QuietHandler
from tests.scripted_airflow import Says, said

CLIENT_ID, CLIENT_SECRET = "mljob:operator", "s3cr3t+/ü"


class OAuth2Provider(LoopbackServer):
    """A fake OAuth 2 provider.

    Attributes:
        tokens: The tokens for the next requests.
        life: The value of ``expires_in`` in the answers, in seconds.
        says: The answer to all requests, or None to issue tokens.
        asked: The form and the headers of each request. Header names are in lower case.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tokens = iter(["first", "second", "third"])
        self.life: Any = 3600
        self.says: Says | None = None
        self.asked: list[tuple[dict[str, str], dict[str, str]]] = []
        provider = self

        class Handler(QuietHandler):
            def answer(self) -> None:
                form = dict(parse_qsl(self.content().decode()))
                provider.asked.append((form, {name.lower(): value for name, value in self.headers.items()}))
                told = provider.says or said(
                    200, access_token=next(provider.tokens), token_type="Bearer", expires_in=provider.life
                )
                self.reply(told.status, told.body.encode(), told.content_type, told.headers)

        super().__init__(Handler, tls=tls)

    @property
    def url(self) -> str:
        return f"{super().url}/token"


def client(url: str | None, **fields: Any) -> OAuth2Client:
    return OAuth2Client(CLIENT_ID, SecretStr(CLIENT_SECRET), url, **fields)
