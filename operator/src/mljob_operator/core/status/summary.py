"""The phase of an MLJob, with its reason and message."""

from __future__ import annotations

from mljob_contract.mljob import Phase

from ..frozen import frozen


@frozen
class StatusSummary:
    """The phase of an MLJob, with the reason of the phase in one CamelCase word, and a message for
    people.
    """

    phase: Phase
    reason: str
    message: str
