"""Which events Airflow's REST API has not confirmed yet. An event is a hint; only REST's answer
counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..run.facts import RunFact
from ..run.observed_run import CONFIRMED_WITHIN
from .current import CurrentAttempt
from .inputs import Inputs

LIST_AGAIN_AFTER = timedelta(seconds=1)
"""How long Airflow may take to store the end of a run that an event has reported, before the
operator asks again.
"""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """When the operator asks Airflow to confirm events.

    Attributes:
        end_at: When to ask whether the run has ended; None: no event says so, or Airflow has
            answered.
        unconfirmed_end: The end of the run that an event reports, until Airflow is asked about the
            run; else None.
        doubt_at: When unconfirmed events are no longer believed and Airflow is asked; None: there
            are none.
    """

    end_at: datetime | None
    unconfirmed_end: RunFact | None
    doubt_at: datetime | None

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt, retry_at: datetime | None) -> Confirmation:
        """The events of the newest attempt's run that are to be confirmed."""
        observed_run, looked_at = inputs.observed_run, inputs.transient.looked_up_at
        heard = observed_run.heard_end
        unasked = heard if heard is not None and (looked_at is None or looked_at < heard.observed_at) else None
        end_at = None
        if heard is not None and current.active and observed_run.missed_at is None:
            end_at = heard.observed_at if looked_at is None or unasked else looked_at + LIST_AGAIN_AFTER
            end_at = max(end_at, retry_at or end_at)
        since = observed_run.unconfirmed_since
        doubted = since is not None and current.active and not observed_run.over
        return cls(end_at, unasked, since + CONFIRMED_WITHIN if doubted and since is not None else None)
