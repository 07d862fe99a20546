"""Decides when the operator asks Airflow's REST API to confirm events. Events may be wrong, so
decisions depend on answers of the REST API.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ...frozen import frozen
from ...run.facts import RunFact
from ...run.task_merging import CONFIRMED_WITHIN
from .current import CurrentAttempt
from .inputs import Inputs

LIST_AGAIN_AFTER = timedelta(seconds=1)
"""The time between two requests for a run that is about to end or has ended. The first request may
come too early, because Airflow publishes the event of an end before it stores the end.
"""


@frozen
class Confirmation:
    """When the operator asks Airflow's REST API to confirm events about the run.

    Attributes:
        end_at: When to ask whether the run has ended. None in each of these cases:

            - No event reports the end of the run, or the REST API has confirmed or contradicted the
              event.
            - Airflow's last answer about the run was that the run does not exist.
            - The attempt is not :attr:`~.CurrentAttempt.active`.
        unconfirmed_end: The event that reports the end of the run, if the operator has not asked
            Airflow about the run since it read the event. Otherwise None.
        verify_at: When to ask about unconfirmed events other than the end of the run. None if there
            are no such events, if the run has ended, or if the attempt is not
            :attr:`~.CurrentAttempt.active`.
    """

    end_at: datetime | None
    unconfirmed_end: RunFact | None
    verify_at: datetime | None

    @classmethod
    def of(cls, inputs: Inputs, current: CurrentAttempt, retry_at: datetime | None) -> Confirmation:
        """Return the Confirmation for the newest attempt's run. ``retry_at`` is the earliest time
        for a request after a failed request, or None if no failure delays requests.
        """
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
