"""How mljob-api chooses the task whose log is shown, and finds out the state of a try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run.facts import TaskFact
from mljob_operator.core.run.followed_try import TryState, choose, try_state
from mljob_operator.core.run.states import TaskState

AT = datetime(2026, 1, 1, tzinfo=UTC)


def fact(
    task_id: str, state: str, start: int | None = 0, end: int | None = None, index: int = -1, number: int = 1
) -> TaskFact:
    times = [AT + timedelta(seconds=at) if at is not None else None for at in (start, end)]
    return TaskFact(task_id, index, number, TaskState(state), StatusSource.REST, AT, AT, start=times[0], end=times[1])


@pytest.mark.parametrize(
    ("facts", "chosen"),
    [
        pytest.param([], None, id="no task"),
        pytest.param([fact("a", "none", None, number=0)], None, id="nothing has begun"),
        pytest.param([fact("a", "success", 0), fact("b", "success", 5)], "b", id="the one that started last"),
        pytest.param([fact("a", "running", 0), fact("b", "success", 5)], "a", id="the running one"),
        pytest.param([fact("a", "running", 3), fact("b", "deferred", 5)], "a", id="one with a worker"),
        pytest.param([fact("a", "running", 3), fact("b", "running", 5)], "b", id="the running one that started last"),
        pytest.param([fact("a", "up_for_retry", 0), fact("b", "success", 5)], "a", id="the one that is retried"),
        pytest.param([fact("a", "failed", 0, 9), fact("b", "failed", 5, 7), fact("c", "running", 8)], "b", id="the one that failed first"),
        pytest.param([fact("a", "success"), fact("b", "upstream_failed", None, number=0)], "a", id="not one that never ran"),
    ],
)  # fmt: skip
def test_task_is_chosen(facts: list[TaskFact], chosen: str | None) -> None:
    found = choose(facts, None, None)
    assert (found.task_id if found is not None else None) == chosen


def test_named_task_is_chosen_before_it_has_begun() -> None:
    facts = [fact("a", "running"), fact("b", "none", None, number=0)]
    found = choose(facts, "b", None)
    assert found is not None
    assert found.task_id == "b"
    assert choose(facts, "c", None) is None
    assert choose(facts, "b", 3) is None


RUNNING, ENDED, WAITING = TryState.ACTIVE, TryState.ENDED, TryState.WAITING


@pytest.mark.parametrize(
    ("state", "current", "number", "run_has_ended", "expected"),
    [
        ("running", 1, 1, False, RUNNING),
        ("deferred", 1, 1, False, RUNNING),
        ("up_for_reschedule", 1, 1, False, RUNNING),
        ("awaiting_input", 1, 1, False, RUNNING),
        ("restarting", 1, 1, False, RUNNING),
        ("none", 0, 1, False, WAITING),
        ("scheduled", 1, 1, False, WAITING),
        ("queued", 1, 1, False, WAITING),
        ("running", 1, 2, False, WAITING),
        ("up_for_retry", 1, 1, False, TryState.RETRYING),
        ("none", 1, 1, False, TryState.RETRYING),
        ("queued", 2, 1, False, TryState.SUPERSEDED),
        ("success", 2, 1, False, TryState.SUPERSEDED),
        ("success", 1, 1, False, ENDED),
        ("failed", 1, 1, False, ENDED),
        ("skipped", 1, 1, False, ENDED),
        ("upstream_failed", 0, 1, False, ENDED),
        ("success", 1, 2, False, ENDED),
        ("none", 0, 1, True, ENDED),
        ("up_for_retry", 1, 1, True, ENDED),
        ("running", 1, 1, True, RUNNING),
    ],
)
def test_state_of_a_try(state: str, current: int, number: int, expected: TryState, *, run_has_ended: bool) -> None:
    assert try_state(fact("a", state, number=current), number, run_has_ended=run_has_ended) is expected
