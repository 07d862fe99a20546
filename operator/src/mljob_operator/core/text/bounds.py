"""Limits for the depth and the size of a JSON value.

The operator checks the depth and the size of a value before it calls any function that recurses
into the value, such as hashing, merging, comparing and validating. The Kubernetes API server stores
objects that are nested 10,000 levels deep (the limit of Go's ``encoding/json``). Python's own
functions fail at about 1,000 levels and pydantic at 255. The operator reads lists of objects, and
an exception for one object would affect the whole list.
"""

from __future__ import annotations

import json
from typing import Any

from mljob_contract.mljob import MAX_CONF_BYTES, MAX_CONF_LEVELS

from ..frozen import frozen
from .storable import MAX_DEPTH


@frozen
class Bounds:
    """How deep and how large a JSON value may be.

    Attributes:
        levels: How deep objects and lists may be nested, as :func:`levels` counts the depth.
        size: How many bytes the value may have as compact JSON in UTF-8.
    """

    levels: int
    size: int

    def excess(self, value: Any) -> str | None:
        """Return which limit the value exceeds, as the end of a sentence, such as "is nested 40
        levels deep, over the limit of 32". Return None if the value exceeds no limit.
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
    """Return the depth of a JSON value. The depth of an object or a list is 1 more than the
    greatest depth of its values, or 1 if the object or list is empty. The depth of any other value
    is 0. The function does not recurse.
    """
    depth, layer = 0, [value]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def json_size(value: Any) -> int:
    """Return the size of a value as compact JSON in UTF-8, in bytes. The caller must check the
    levels of the value first, because this function recurses.
    """
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
