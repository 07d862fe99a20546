"""Cutting a text to a length, with a sign that it was cut."""

from __future__ import annotations


def truncated(text: str, length: int) -> str:
    """``text`` in at most ``length`` characters; the last character of a text that was cut is
    ``…``.
    """
    return text if len(text) <= length else text[: length - 1] + "…"
