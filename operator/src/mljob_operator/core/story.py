"""What a status says for people: the phase, and why."""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.mljob import Phase


def sentence(text: str) -> str:
    """What somebody else says, such as Airflow, with the full stop that it may lack: our own words follow."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def capitalised(text: str) -> str:
    """For the beginning of a sentence; names within it keep their letters."""
    return f"{text[0].upper()}{text[1:]}"


@dataclass(frozen=True, slots=True)
class Story:
    """Phase, reason (one CamelCase word) and message (a sentence)."""

    phase: Phase
    reason: str
    message: str
