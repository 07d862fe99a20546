"""Names of metrics and outputs, as the MLJob's status can hold them."""

from __future__ import annotations

MAX_NAME_LENGTH = 63
"""Characters of a name in the status."""


def status_name(name: object) -> str:
    """``name`` as valid Unicode, cut to 63 characters."""
    return str(name).encode("utf-8", "replace").decode()[:MAX_NAME_LENGTH]
