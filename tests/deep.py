from __future__ import annotations

from typing import Any


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    made: dict[str, Any] = value
    return made
