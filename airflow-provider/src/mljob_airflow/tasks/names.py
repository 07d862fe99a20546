"""Changes names of metrics and outputs so that the status of an MLJob can hold the names."""

from __future__ import annotations

MAX_NAME_LENGTH = 63
"""The maximum number of characters of a name in the status."""


def status_name(name: object) -> str:
    """Return ``name`` as a string of at most 63 characters. Longer names are cut. A character that
    is not valid Unicode becomes ``?``.
    """
    return str(name).encode("utf-8", "replace").decode()[:MAX_NAME_LENGTH]
