"""Cuts a text to a length, and marks the cut."""

from __future__ import annotations


def truncated(text: str, length: int) -> str:
    """Cut ``text`` to at most ``length`` characters. A text that is cut ends in ``…``."""
    return text if len(text) <= length else text[: length - 1] + "…"
