"""A mistake in a YAML document, such as a manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

MAX_COMPARED = 100
"""The maximum number of names that a name is compared with."""
MAX_COMPARED_LENGTH = 60
"""The maximum length of a name that is compared, in characters. The comparison takes time that
grows with the product of the lengths.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in a YAML document.

    Attributes:
        path: The field, such as ``spec.confFrom[0].outputsRef.name``. Empty for the whole object.
        message: What is wrong, and what to write instead.
        line: The line number in the file, from 1, or None if the line is unknown.
    """

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def meant(name: str, known: Iterable[str]) -> str:
    """Return the text `` (did you mean OTHER?)``. OTHER is the name in ``known`` that is most
    similar to ``name``. Return an empty text if no name in ``known`` is similar to ``name``.
    """
    if len(name) > MAX_COMPARED_LENGTH:
        return ""
    choices = {other.lower(): other for other in islice(known, MAX_COMPARED) if len(other) <= MAX_COMPARED_LENGTH}
    similar = get_close_matches(name.lower().replace("_", ""), choices, n=1)
    return f" (did you mean {choices[similar[0]]}?)" if similar else ""
