"""The phase of an MLJob, with a reason and a message that explain the phase."""

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
