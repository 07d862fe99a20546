"""What a status says for people: the phase, and why."""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.mljob import Phase


@dataclass(frozen=True, slots=True)
class StatusSummary:
    """Phase, reason (one CamelCase word) and message (a sentence)."""

    phase: Phase
    reason: str
    message: str
