"""HTTP requests to the stack's servers on loopback, without the machine's proxy."""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any


def get(url: str, token: str | None = None, authority: Path | None = None, timeout: float = 5.0) -> str:
    """The body of the answer to a GET request.

    Args:
        url: The address.
        token: A bearer token.
        authority: The certificate to trust.
        timeout: Seconds.

    Raises:
        urllib.error.HTTPError: The status is an error.
        OSError: There is no answer.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if authority:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(authority))))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as response:
        body: bytes = response.read()
    return body.decode()


def get_json(url: str, timeout: float = 5.0) -> Any:
    """The body of the answer, parsed as JSON."""
    return json.loads(get(url, timeout=timeout))
