"""Checks the names of Kubernetes objects before they become a part of a request's path. Without a
name, the path is that of all objects: ``/mljobs/`` instead of ``/mljobs/train``.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import InvalidArgument

MAX_OBJECT_NAME: Final = 253
"""The maximum number of characters of an object's name in Kubernetes."""
_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def is_object_name(name: str) -> bool:
    """Return whether a text is a DNS subdomain name (RFC 1123) in lower case of at most 253
    characters, as the names of MLJobs and namespaces are.
    """
    return len(name) <= MAX_OBJECT_NAME and _NAME.fullmatch(name) is not None


def object_name(name: str, field: str) -> str:
    """Return the name of an existing object if the API server may have an object of this name.

    Args:
        name: The name.
        field: What the error names: ``name`` or ``namespace``.

    Raises:
        InvalidArgument: The name is empty or no name of Kubernetes.
    """
    if not name:
        raise InvalidArgument(f"{field}: the text is empty. Check that the variable with the name is set.")
    if not is_object_name(name):
        raise InvalidArgument(
            f"{field}: {name[:200]!r} is no name of Kubernetes. A name has lower-case letters, digits, '-' and '.'."
        )
    return name
