"""Decides whether Airflow has the newest attempt's run. A wrong decision that the run is absent
can't be undone, so this decision needs proof.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ...frozen import frozen
from ...run.observed_run import ABSENCE_CONFIRMED_AFTER
from .current import CurrentAttempt
from .inputs import Inputs

VANISHED_LOOK_UP_EVERY = timedelta(seconds=60)
"""The time between two look-ups of a missing run while many runs are missing at once."""


@frozen
class Presence:
    """What Airflow's answers and the requests of this process prove about the newest attempt's run.

    Attributes:
        absent: Whether Airflow has no such run, and no submission of the run can still arrive.
        vanished: Whether this run is missing in Airflow, and many other runs may be missing too. In
            this case, Airflow's answers do not prove that the run was deleted.
        unsent: Whether this process began the attempt, and no submission of the attempt can have
            taken effect in Airflow. Also True if Airflow has refused the submission.
        in_doubt: Whether it is unknown if the attempt's run was submitted: a submission may have
            reached Airflow or may still arrive, and this process knows no answer to the submission.
        ask_again_at: When to ask Airflow again for a run that Airflow did not find. None if Airflow
            has not answered yet, if Airflow's last answer contained the run, or if the run is
            ``absent``.
    """

    absent: bool
    vanished: bool
    unsent: bool
    in_doubt: bool
    ask_again_at: datetime | None

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt) -> Presence:
        """Return the :class:`Presence` of the newest attempt's run."""
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
    """Return whether it is proved that Airflow does not have the run.

    The proof is that Airflow has answered "no such run" to two requests. Both requests
    must be sent when a submission of the run can no longer reach Airflow. One answer is enough if
    the attempt starts a new run and ``unsent`` is True (see :class:`Presence`).
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
    return missed_at + ABSENCE_CONFIRMED_AFTER
