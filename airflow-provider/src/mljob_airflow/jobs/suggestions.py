"""Suggestions for a name that does not exist. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def unknown(owner: str, what: str, name: str, known: Sequence[str]) -> str:
    """The text of an error: ``train has no param 'epoch': did you mean 'epochs'?``.

    Args:
        owner: What lacks the name, for example a DAG.
        what: What the name should be: ``param``.
        name: The name that does not exist.
        known: The names that exist; the text lists them when none is similar.
    """
    text = f"{owner} has no {what} {name!r}"
    if close := closest(name, known):
        return f"{text}: did you mean {close!r}?"
    return f"{text}: its {what}s are {', '.join(known)}" if known else f"{text}: it has no {what}s"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The most similar of some names; ``None`` when none is similar."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def likeness(name: str, other: str) -> float:
    """How similar two names are, from 0 to 1."""
    return difflib.SequenceMatcher(None, name, other).ratio()
