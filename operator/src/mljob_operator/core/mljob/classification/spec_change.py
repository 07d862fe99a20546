"""Compares the current spec of an MLJob with the spec that the newest attempt runs."""

from __future__ import annotations

from enum import StrEnum

from mljob_contract.mljob import RunPolicy

from ..attempts import newest_run
from .current import CurrentAttempt
from .inputs import Inputs


class SpecChange(StrEnum):
    """The change of the spec since the newest attempt began.

    Attributes:
        NONE: The attempt runs the current spec, or there is no attempt yet. An invalid spec counts
            as unchanged.
        RENEWED: The spec has changed, and a new attempt is to run the changed spec.
        REFUSED: The spec has changed, but no attempt is to run the changed spec, because runPolicy
            is Once and Airflow had a run of the newest attempt, or of an attempt in the history
            that ran the same spec as the newest attempt. A run that appeared after the end of its
            attempt does not count.
    """

    NONE = "None"
    RENEWED = "Renewed"
    REFUSED = "Refused"


def spec_change(inputs: Inputs, current: CurrentAttempt) -> SpecChange:
    """Compare the current spec with the spec that the newest attempt runs, and return the result as
    a :class:`SpecChange`.
    """
    job, attempt = inputs.job, current.attempt
    if attempt is None or job.parsed.problem is not None or attempt.spec_hash in ("", job.parsed.hash):
        return SpecChange.NONE
    if job.spec.run_policy is not RunPolicy.ONCE:
        return SpecChange.RENEWED
    had_run = (current.submitted and not current.given_up) or newest_run(job.status, attempt.spec_hash) is not None
    return SpecChange.REFUSED if had_run else SpecChange.RENEWED
