"""The phase of an MLJob, with a reason and a message."""

from __future__ import annotations

from dataclasses import dataclass

from mljob_contract.mljob import Phase


@dataclass(frozen=True, slots=True)
class StatusSummary:
    """Phase, reason (one CamelCase word) and message (a sentence)."""

    phase: Phase
    reason: str
    message: str
