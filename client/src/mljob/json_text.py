"""JSON from the API server. Whoever may create an MLJob may nest its conf thousands of levels deep;
that must not make the lists of others unreadable.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_LEVELS: Final = 200
"""How many levels of objects and lists are read. A conf may have 32."""
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def parse_json(content: bytes) -> Any:
    """Parse JSON. If it is nested too deeply for Python, what is below :data:`MAX_LEVELS` levels
    becomes null.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return json.loads(content)
    except RecursionError:
        pass
    try:
        return json.loads(_shallow(content))
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _shallow(content: bytes) -> bytes:
    kept: list[bytes] = []
    levels = kept_until = 0
    for token in _TOKEN.finditer(content):
        if token[0] in b"[{":
            levels += 1
            if levels == MAX_LEVELS + 1:
                kept += (content[kept_until : token.start()], b"null")
        elif token[0] in b"]}":
            levels -= 1
            if levels == MAX_LEVELS:
                kept_until = token.end()
    if levels > MAX_LEVELS:
        raise ValueError("ends in the middle")
    return b"".join([*kept, content[kept_until:]])
