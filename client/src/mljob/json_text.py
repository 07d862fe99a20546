"""Parses JSON from the API server, and limits how deeply JSON is nested. A very deeply nested conf
must not break the list of all MLJobs.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_LEVELS: Final = 200
"""The number of levels that are kept of JSON whose nesting is too deep for Python, and of JSON that
is printed. A conf may have 32 levels.
"""
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def parse_json(content: bytes) -> Any:
    """Return the parsed value of a JSON text. If the text is nested too deeply for Python, objects
    and lists that are nested deeper than :data:`MAX_LEVELS` levels become None.

    Raises:
        ValueError: The text is not JSON.
    """
    try:
        return json.loads(content)
    except RecursionError:
        pass
    try:
        return json.loads(_shallow(content))
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def shallow(value: Any) -> Any:
    """Return a copy of a JSON value, in which objects and lists that are nested deeper than
    :data:`MAX_LEVELS` levels are None. The encoders of JSON and YAML are recursive, and need several
    frames of Python's stack for each level.
    """
    top = [value]
    parents: list[Any] = [top]
    for level in range(MAX_LEVELS + 1):
        copies: list[Any] = []
        for parent in parents:
            for key, child in parent.items() if isinstance(parent, dict) else enumerate(parent):
                if isinstance(child, dict | list):
                    parent[key] = child.copy() if level < MAX_LEVELS else None
                    copies.append(parent[key])
        parents = copies
    return top[0]


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
