"""Functions for the beginning and the end of a sentence, for messages that combine texts from
several sources.
"""

from __future__ import annotations


def sentence(text: str) -> str:
    """Return a text of another program, such as a message of Airflow, with a full stop at its end
    if it ends in no other mark of a sentence's end. Another sentence can then follow.
    """
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def capitalised(text: str) -> str:
    """Return the text with a capital first letter, for the beginning of a sentence. All other
    letters stay as they are, because they may belong to names. The text must not be empty.
    """
    return f"{text[0].upper()}{text[1:]}"
