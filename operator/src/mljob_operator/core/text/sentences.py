"""Sentences that are put together from parts of different origin."""

from __future__ import annotations


def sentence(text: str) -> str:
    """What somebody else says, such as Airflow, with the full stop that it may lack: our own words follow."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def capitalised(text: str) -> str:
    """For the beginning of a sentence; names within it keep their letters."""
    return f"{text[0].upper()}{text[1:]}"
