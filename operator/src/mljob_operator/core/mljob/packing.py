"""Compresses the JSON of MLJobs that wait. Compressed JSON takes about a tenth of the memory of the
same JSON as Python objects.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

_FAST = 1
"""zlib's fastest level. Slower levels save a few percent of a status."""


def packed(value: Any) -> bytes:
    """Return a JSON value as compressed bytes."""
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), _FAST)


def unpacked(data: bytes) -> Any:
    """Return the JSON value in compressed bytes from :func:`packed`."""
    return json.loads(zlib.decompress(data))
