"""How deep and how large a JSON value may be. This is checked before any function that recurses
into the value: hashing, merging, comparing, validating.

The API server stores objects that are nested 10,000 levels deep (the limit of Go's
``encoding/json``). Python's own functions fail at about 1,000 levels, and pydantic's at 255, with
an exception that would affect all objects of the same list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mljob_contract.mljob import MAX_CONF_BYTES, MAX_CONF_LEVELS

from .storable import MAX_DEPTH


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a JSON value.

    Attributes:
        levels: How many objects and lists may be nested inside each other.
        size: How many bytes the value may take as compact JSON in UTF-8.
    """

    levels: int
    size: int

    def excess(self, value: Any) -> str | None:
        """Which bound the value exceeds, as the predicate of a sentence; None: it exceeds none."""
        if (deep := levels(value)) > self.levels:
            return f"is nested {deep} levels deep, over the limit of {self.levels}"
        if (size := json_size(value)) > self.size:
            return f"takes {size} bytes as JSON, over the limit of {self.size}"
        return None


CONF = Bounds(MAX_CONF_LEVELS, MAX_CONF_BYTES)
"""The bounds of a conf: of ``spec.conf``, of each object from a source, and of the merged conf."""
OUTPUTS = Bounds(MAX_DEPTH + 1, MAX_CONF_BYTES)
"""The bounds of ``status.outputs`` when read. The operator writes smaller outputs."""


def levels(value: Any) -> int:
    """How many objects and lists are nested inside each other; 0 for a plain value. The function
    does not recurse.
    """
    depth, layer = 0, [value]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def json_size(value: Any) -> int:
    """The bytes of a value as compact JSON in UTF-8. Check its levels first."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
