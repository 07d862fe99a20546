"""The beginning and the end of a sentence in a message."""

from __future__ import annotations


def sentence(text: str) -> str:
    """Return the text with a full stop at the end. An empty text, and a text that ends in ".", "!"
    or "?", get no full stop.
    """
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def capitalised(text: str) -> str:
    """Return the text with a capital first letter. The other letters stay as they are. The text
    must not be empty.
    """
    return f"{text[0].upper()}{text[1:]}"
