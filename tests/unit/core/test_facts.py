"""A fact is what a Kafka event or an answer of Airflow's REST API says about a run."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run.facts import RunFact, later_run, latest_report, queued_again
from mljob_operator.core.run.states import RunState
from tests.strategies import EPOCH


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("queued_at", "queued", "ended", "again"),
    [
        pytest.param(60, 0, 10, True, id="long after its end"),
        pytest.param(10.7, 0, 10.2, True, id="in the second of its end"),
        pytest.param(10.7, 0, 10.9, True, id="in the second of its end, by a clock that is behind"),
        pytest.param(0.9, 0.2, 0.5, True, id="queued, ended and queued in one second"),
        pytest.param(10.7, 0, 10, True, id="after an end that is known in whole seconds"),
        pytest.param(0, 0, 10, False, id="the queuing that is known"),
        pytest.param(0, 0, -2, False, id="the queuing that is known, ended by a clock that is behind"),
        pytest.param(0, 0.000001, -2, False, id="an earlier one, told late"),
        pytest.param(8, 0, 10, False, id="before its end: a task was cleared while it went on"),
        pytest.param(60, None, 10, True, id="after its end, no queuing is known"),
        pytest.param(0, None, 10, False, id="before its end, no queuing is known"),
    ],
)
def test_a_run_that_was_queued_again_is_recognised_by_its_times(
    queued_at: float, queued: float | None, ended: float, again: bool
) -> None:
    known = at(queued) if queued is not None else None
    assert queued_again(at(queued_at), known, at(ended)) is again


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING, RunState.SUCCESS])
def test_a_run_that_was_queued_again_is_no_longer_over(state: RunState) -> None:
    over = RunFact(RunState.FAILED, StatusSource.REST, at(10.2), at(11), end=at(10.2), queued_at=at(0))
    again = RunFact(state, StatusSource.REST, at(12), at(12), queued_at=at(10.7))
    assert later_run(over, again) is again
    assert later_run(again, over) is again, "an answer from before that comes late"


def test_a_run_that_was_cleared_before_its_end_was_known_is_queued() -> None:
    queued = RunFact(RunState.QUEUED, StatusSource.REST, at(0), at(0), queued_at=at(0))
    running = RunFact(RunState.RUNNING, StatusSource.REST, at(1), at(1), queued_at=at(0))
    cleared = RunFact(RunState.QUEUED, StatusSource.REST, at(9), at(9), queued_at=at(8))
    told_late = RunFact(RunState.SUCCESS, StatusSource.KAFKA, at(2), at(10))
    runs_again = RunFact(RunState.RUNNING, StatusSource.KAFKA, at(12), at(12))

    begun = later_run(queued, running)
    assert begun.state is RunState.RUNNING
    assert later_run(begun, cleared) is cleared
    assert later_run(cleared, running) is cleared, "an answer from before that comes late"
    assert latest_report(cleared, None, told_late) is None, "an event from before that comes late"
    assert latest_report(cleared, None, runs_again) is runs_again


def test_clearing_a_task_of_a_run_in_progress_leaves_it_running() -> None:
    running = RunFact(RunState.RUNNING, StatusSource.KAFKA, at(1), at(1), start=at(1), queued_at=at(0))
    goes_on = RunFact(RunState.RUNNING, StatusSource.REST, at(9), at(9), start=at(1), queued_at=at(8))
    assert later_run(running, goes_on) is goes_on
