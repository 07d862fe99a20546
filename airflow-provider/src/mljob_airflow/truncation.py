"""Cuts a text to a length, and marks the cut."""

from __future__ import annotations


def truncated(text: str, length: int) -> str:
    """Cut ``text`` to at most ``length`` characters. If the text is cut, the last character is
    ``…``.
    """
    return text if len(text) <= length else text[: length - 1] + "…"
