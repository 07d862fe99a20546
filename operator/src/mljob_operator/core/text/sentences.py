"""Functions for the beginning and the end of a sentence, for messages that combine texts from
several sources.
"""

from __future__ import annotations


def sentence(text: str) -> str:
    """Turn a text of another program (such as a message of Airflow) into a sentence, so that
    another sentence can follow, and return the sentence. A full stop is added unless the text is
    empty or ends in a full stop, an exclamation mark or a question mark.
    """
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def capitalised(text: str) -> str:
    """Return the text with a capital first letter, for the beginning of a sentence. All other
    letters stay as they are, because they may belong to names. The text must not be empty.
    """
    return f"{text[0].upper()}{text[1:]}"
