"""Sentences for messages that combine texts of several sources."""

from __future__ import annotations


def sentence(text: str) -> str:
    """A text from outside, such as Airflow's, with a full stop at its end, so that another sentence
    can follow.
    """
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def capitalised(text: str) -> str:
    """The text with a capital first letter, for the beginning of a sentence. All other letters
    stay, so that names keep theirs.
    """
    return f"{text[0].upper()}{text[1:]}"
