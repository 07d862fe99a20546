"""Limits for the depth and the size of a JSON value.

The operator checks the depth before it calls a function that recurses into the value. The
Kubernetes API server stores objects with up to 10,000 levels (the limit of Go's ``encoding/json``),
but Python's recursive functions fail at about 1,000 levels and pydantic at 255.
"""

from __future__ import annotations

import json
from typing import Any

from mljob_contract.mljob import MAX_CONF_BYTES, MAX_CONF_LEVELS

from ..frozen import frozen
from .storable import MAX_DEPTH


@frozen
class Bounds:
    """Limits for a JSON value.

    Attributes:
        levels: The maximum depth, as :func:`levels` counts it.
        size: The maximum size as compact JSON in UTF-8, in bytes.
    """

    levels: int
    size: int

    def excess(self, value: Any) -> str | None:
        """Return the end of a sentence about the limit that the value exceeds, such as "is nested
        40 levels deep, over the limit of 32". Return None if the value exceeds no limit.
        """
        if (deep := levels(value)) > self.levels:
            return f"is nested {deep} levels deep, over the limit of {self.levels}"
        if (size := json_size(value)) > self.size:
            return f"takes {size} bytes as JSON, over the limit of {self.size}"
        return None


CONF = Bounds(MAX_CONF_LEVELS, MAX_CONF_BYTES)
"""The limits of a conf. They apply to ``spec.conf``, to each JSON object from a source, and to the
merged conf.
"""
OUTPUTS = Bounds(MAX_DEPTH + 1, MAX_CONF_BYTES)
"""The limits for reading ``status.outputs``. The operator itself stores smaller outputs, so only
outputs that another client has written exceed these limits.
"""


def levels(value: Any) -> int:
    """Return how deep objects and lists are nested in a JSON value. ``1`` has depth 0, ``[]`` and
    ``[1]`` have depth 1, and ``[[1]]`` has depth 2. The function does not recurse.
    """
    depth, layer = 0, [value]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def json_size(value: Any) -> int:
    """Return the size of a value as compact JSON in UTF-8, in bytes. The function recurses, so the
    caller must check the depth of the value first.
    """
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
