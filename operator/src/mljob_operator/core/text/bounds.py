"""How deep and how large a JSON value may be, asked before anything that recurses into it: hashing, merging, comparing, validating.

The API server stores objects that are nested 10,000 levels deep (the limit of Go's ``encoding/json``). Python's own functions give up at about 1,000,
and pydantic's at 255, with an exception that would concern everybody who is in the same list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mljob_contract.mljob import MAX_CONF_BYTES, MAX_CONF_LEVELS

from .storable import MAX_DEPTH


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a value may take.

    Attributes:
        levels: Objects and lists inside each other.
        size: Bytes as compact JSON in UTF-8.
    """

    levels: int
    size: int

    def excess(self, value: Any) -> str | None:
        """Which bound the value exceeds, as the rest of a sentence; None: none."""
        if (deep := levels(value)) > self.levels:
            return f"is nested {deep} levels deep, over the limit of {self.levels}"
        if (size := json_size(value)) > self.size:
            return f"takes {size} bytes as JSON, over the limit of {self.size}"
        return None


CONF = Bounds(MAX_CONF_LEVELS, MAX_CONF_BYTES)
"""Of a conf: of ``spec.conf``, of what a source holds, and of all of it together."""
OUTPUTS = Bounds(MAX_DEPTH + 1, MAX_CONF_BYTES)
"""Of ``status.outputs`` as they are read. What the operator writes there is smaller."""


def levels(value: Any) -> int:
    """How many objects and lists are inside each other; 0 for a plain value. It does not recurse."""
    depth, layer = 0, [value]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def json_size(value: Any) -> int:
    """Bytes of the value as compact JSON in UTF-8; of a value whose levels are bounded."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
