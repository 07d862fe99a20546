"""Nobody measures."""

from __future__ import annotations

from typing import Any


class SilentMeter:
    """Counts nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None
