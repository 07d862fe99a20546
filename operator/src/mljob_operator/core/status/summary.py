"""The phase, the reason and the message in the status of an MLJob."""

from __future__ import annotations

from mljob_contract.mljob import Phase

from ..frozen import frozen


@frozen
class StatusSummary:
    """The phase, the reason and the message in the status of an MLJob.

    Attributes:
        phase: The phase.
        reason: The reason of the phase, one CamelCase word.
        message: An explanation for people.
    """

    phase: Phase
    reason: str
    message: str
