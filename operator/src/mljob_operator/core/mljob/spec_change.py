"""Whether the spec asks for something else than the newest attempt runs."""

from __future__ import annotations

from enum import StrEnum

from mljob_contract.mljob import RunPolicy

from .current import CurrentAttempt
from .identity import spec_hash
from .inputs import Inputs


class SpecChange(StrEnum):
    """What became of the spec since the newest attempt began.

    Attributes:
        NONE: The attempt runs what the spec says. A spec that does not fit the API says nothing.
        RENEWED: The spec asks for another run.
        REFUSED: The change came too late: with runPolicy Once, later attempts too run what the first attempt ran.
    """

    NONE = "None"
    RENEWED = "Renewed"
    REFUSED = "Refused"


def spec_change(inputs: Inputs, current: CurrentAttempt) -> SpecChange:
    """Compare the spec with what the newest attempt runs."""
    job, attempt = inputs.job, current.attempt
    if attempt is None or job.problem is not None or attempt.spec_hash in ("", spec_hash(job.spec)):
        return SpecChange.NONE
    begun = current.submitted or bool(job.status.history)
    return SpecChange.REFUSED if begun and job.spec.run_policy is RunPolicy.ONCE else SpecChange.RENEWED
