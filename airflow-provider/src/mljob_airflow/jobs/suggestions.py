"""Suggests a similar name for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def unknown(owner: str, what: str, name: str, known: Sequence[str]) -> str:
    """Return the message about a name that does not exist, for example ``train has no param
    'epoch': did you mean 'epochs'?``.

    Args:
        owner: Where the name was looked up: the id of a DAG, or the path of a param.
        what: The kind of the name, for example ``param``.
        name: The name that does not exist.
        known: The names that exist. If no name is similar, the message lists all of them.
    """
    text = f"{owner} has no {what} {name!r}"
    if close := closest(name, known):
        return f"{text}: did you mean {close!r}?"
    return f"{text}: its {what}s are {', '.join(known)}" if known else f"{text}: it has no {what}s"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the name in ``known`` that is most similar to ``name``, or ``None`` if no name is
    similar.
    """
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def likeness(name: str, other: str) -> float:
    """Return the similarity of two names, from 0 to 1."""
    return difflib.SequenceMatcher(None, name, other).ratio()
