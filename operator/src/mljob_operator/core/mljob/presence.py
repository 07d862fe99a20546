"""Whether Airflow has the newest attempt's run. "Not found" has to be proved, because its
consequences can't be undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..run.observed_run import ABSENCE_TAKES
from .current import CurrentAttempt
from .inputs import Inputs

VANISHED_LOOK_UP_EVERY = timedelta(seconds=60)
"""How often Airflow is asked for a missing run while its absence does not count."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What is proved of the run's presence in Airflow.

    Attributes:
        absent: Whether Airflow is proved to have no such run, and no submission of it is on its
            way.
        vanished: Whether the run is missing, and its absence does not count because many runs are
            missing at once.
        unsent: Whether this process began the attempt and knows that none of its submissions has
            reached Airflow.
        in_doubt: Whether a submission may have taken effect, or may still take effect.
        ask_again_at: When Airflow may be asked again for a run that it did not find; None: it has
            the run, or the run is proved absent.
    """

    absent: bool
    vanished: bool
    unsent: bool
    in_doubt: bool
    ask_again_at: datetime | None

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt) -> Presence:
        """Weigh what Airflow said, and what this process sent."""
        observed_run, transient = inputs.observed_run, inputs.transient
        vanished = (
            current.active and not observed_run.over and observed_run.missed_at is not None and inputs.absence_withheld
        )
        unsent = transient.attempt is not None and transient.unknown_until is None and not current.submitted
        absent = not vanished and _is_absent(inputs, current, unsent=unsent)
        return cls(
            absent=absent,
            vanished=vanished,
            unsent=unsent,
            in_doubt=current.open and transient.unknown_until is not None and not current.submitted and not absent,
            ask_again_at=None if absent else _ask_again_at(inputs, vanished=vanished),
        )


def _is_absent(inputs: Inputs, current: CurrentAttempt, *, unsent: bool) -> bool:
    """Whether Airflow did not find the run twice, both times after a submission would have arrived;
    or once, and this process knows that it sent no submission.
    """
    missed_at, unknown_until = inputs.observed_run.missed_at, inputs.transient.unknown_until
    if missed_at is None:
        return False
    if unsent and not current.by_clearing:
        return True
    return inputs.observed_run.not_found and (unknown_until is None or missed_at >= unknown_until)


def _ask_again_at(inputs: Inputs, *, vanished: bool) -> datetime | None:
    missed_at, unknown_until = inputs.observed_run.missed_at, inputs.transient.unknown_until
    if missed_at is None:
        return None
    if unknown_until is not None and missed_at < unknown_until:
        return unknown_until
    if vanished and inputs.observed_run.not_found:
        return (inputs.transient.looked_up_at or missed_at) + VANISHED_LOOK_UP_EVERY
    return missed_at + ABSENCE_TAKES
