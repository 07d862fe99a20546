"""Cuts a text to a length, and marks the cut."""

from __future__ import annotations


def truncated(text: str, length: int) -> str:
    """Return ``text``, cut to at most ``length`` characters. The last character of a cut text is
    ``…``.
    """
    return text if len(text) <= length else text[: length - 1] + "…"
