"""Sends HTTP requests to the development stack's servers on loopback. The machine's proxy settings
are ignored.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any


def get(url: str, token: str | None = None, authority: Path | None = None, timeout: float = 5.0) -> str:
    """Send a GET request, and return the body of the response as text.

    Args:
        url: The URL.
        token: A bearer token. With None, the request has no token.
        authority: The path of the CA certificate with which the client verifies the server's
            certificate. With None, the client uses the system's CA certificates.
        timeout: The maximum number of seconds to wait for a connection and for each read.

    Raises:
        urllib.error.HTTPError: The status of the response is an error.
        OSError: The server can't be reached, has an invalid certificate, or does not respond.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if authority:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(authority))))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as response:
        body: bytes = response.read()
    return body.decode()


def get_json(url: str, timeout: float = 5.0) -> Any:
    """Send a GET request, and return the body of the response, parsed as JSON. The exceptions are
    those of `get`, and ValueError if the body is not JSON.
    """
    return json.loads(get(url, timeout=timeout))
