"""Which events Airflow's REST API has not confirmed yet. An event is only a hint. Decisions depend
on answers of the REST API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..run.facts import RunFact
from ..run.observed_run import CONFIRMED_WITHIN
from .current import CurrentAttempt
from .inputs import Inputs

LIST_AGAIN_AFTER = timedelta(seconds=1)
"""The time between two requests for a run whose end an event has reported. Airflow publishes the
event before it stores the end.
"""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """When the operator asks Airflow to confirm events.

    Attributes:
        end_at: When to ask whether the run has ended, or None if no event says so or Airflow has
            answered.
        unconfirmed_end: The end of the run according to an event, until Airflow is asked about the
            run. None if there is no such event.
        verify_at: When the operator stops believing unconfirmed events and asks Airflow, or None if
            all events are confirmed.
    """

    end_at: datetime | None
    unconfirmed_end: RunFact | None
    verify_at: datetime | None

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt, retry_at: datetime | None) -> Confirmation:
        """Return which events of the newest attempt's run need confirmation."""
        observed_run, looked_at = inputs.observed_run, inputs.transient.looked_up_at
        reported = observed_run.reported_end
        unconfirmed_end = (
            reported if reported is not None and (looked_at is None or looked_at < reported.observed_at) else None
        )
        end_at = None
        if reported is not None and current.active and observed_run.missed_at is None:
            end_at = reported.observed_at if looked_at is None or unconfirmed_end else looked_at + LIST_AGAIN_AFTER
            end_at = max(end_at, retry_at or end_at)
        since = observed_run.unconfirmed_since
        unverified = since is not None and current.active and not observed_run.over
        return cls(end_at, unconfirmed_end, since + CONFIRMED_WITHIN if unverified and since is not None else None)
