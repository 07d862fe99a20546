"""Shortens names of metrics and outputs for the status of an MLJob."""

from __future__ import annotations

MAX_NAME_LENGTH = 63
"""The maximum number of characters of a name in the status."""


def status_name(name: object) -> str:
    """Return ``name`` as a string, cut to 63 characters. A character that is not valid Unicode
    becomes ``?``.
    """
    return str(name).encode("utf-8", "replace").decode()[:MAX_NAME_LENGTH]
