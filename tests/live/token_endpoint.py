"""A token endpoint as an OpenID Connect provider has one, on loopback: the grant client_credentials, and tokens without a signature."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from devstack.ports import HOST


def token(subject: str, seconds: int) -> str:
    """A token as Kafka's validator of unsecured ones takes it."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + seconds})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


class TokenEndpoint:
    """The endpoint, while the block runs.

    Args:
        client: Its id and its secret.
        lifetime: Seconds that a token holds.

    Attributes:
        asked: The scope of each request that was granted.
    """

    def __init__(self, client: tuple[str, str], *, lifetime: int) -> None:
        self.asked: list[str] = []
        expected = "Basic " + base64.b64encode(":".join(client).encode()).decode()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                granted = self.headers["Authorization"] == expected and form.get("grant_type") == ["client_credentials"]
                if granted:
                    endpoint.asked.append(form.get("scope", [""])[0])
                    answer = {
                        "access_token": token(client[0], lifetime),
                        "token_type": "bearer",
                        "expires_in": lifetime,
                    }
                else:
                    answer = {"error": "invalid_client", "error_description": "the client is unknown here"}
                body = json.dumps(answer).encode()
                self.send_response(200 if granted else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer((HOST, 0), Handler)

    def __enter__(self) -> TokenEndpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Of the endpoint."""
        return f"http://{HOST}:{self._server.server_address[1]}/token"
