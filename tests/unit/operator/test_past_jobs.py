"""For each run, the operator checks once whether the run's MLJob needs a worker. The operator
checks again only if Airflow has queued the run again. A worker is an object that reconciles one
MLJob.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_contract.mljob import StatusSource
from mljob_operator.controllers.mljob.past_jobs import PastJobs
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState

RUN = RunKey(SETTINGS_AIRFLOW, "train", "mljob.team-a.churn.abcdefgh23-1")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def fact(queued_at: datetime | None) -> RunFact:
    return RunFact(RunState.SUCCESS, StatusSource.REST, T0, T0, queued_at=queued_at)


@pytest.mark.parametrize("queued_at", [None, T0])
def test_run_is_checked_once(queued_at: datetime | None) -> None:
    past = PastJobs()
    assert past.needs_check(RUN, fact(queued_at))
    past.note_checked(RUN, fact(queued_at))
    assert not past.needs_check(RUN, fact(queued_at))


def test_run_that_is_queued_again_is_checked_again() -> None:
    past = PastJobs()
    past.note_checked(RUN, fact(None))
    assert past.needs_check(RUN, fact(T0))
