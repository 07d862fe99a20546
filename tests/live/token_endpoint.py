from __future__ import annotations

import base64
import json
import time
from urllib.parse import parse_qs

from tests.live.loopback import LoopbackServer, QuietHandler


def token(subject: str, seconds: int) -> str:
    """Return an unsigned JSON Web Token that expires after ``seconds``."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + seconds})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


class TokenEndpoint(LoopbackServer):
    """The token endpoint of an OpenID Connect provider. It issues unsigned tokens for the grant
    client_credentials.

    Args:
        client: The client's id and secret.
        lifetime: Seconds until a token expires.

    Attributes:
        asked: The scope of each request that got a token.
    """

    def __init__(self, client: tuple[str, str], *, lifetime: int) -> None:
        self.asked: list[str] = []
        expected = "Basic " + base64.b64encode(":".join(client).encode()).decode()
        endpoint = self

        class Handler(QuietHandler):
            def answer(self) -> None:
                form = parse_qs(self.content().decode())
                granted = self.headers["Authorization"] == expected and form.get("grant_type") == ["client_credentials"]
                if granted:
                    endpoint.asked.append(form.get("scope", [""])[0])
                    body = {
                        "access_token": token(client[0], lifetime),
                        "token_type": "bearer",
                        "expires_in": lifetime,
                    }
                else:
                    body = {"error": "invalid_client", "error_description": "the client is unknown here"}
                self.reply(200 if granted else 401, json.dumps(body).encode())

        super().__init__(Handler)

    @property
    def url(self) -> str:
        return f"{super().url}/token"
