from __future__ import annotations

import pytest

from mljob_operator.core.mljob.activity import is_hot, is_in_progress, is_still
from mljob_operator.core.run.observed_run import ObservedRun

from .situations import (
    NOW,
    Given,
    ago,
    backfill,
    backfill_job,
    classified,
    failed,
    finished,
    given,
    job,
    queued,
    retrying,
    running,
    submitting,
    succeeded,
    task,
    under_way,
    unread,
)

RUNS = {"2025-12-01": "success", "2025-12-02": "running"}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), run=queued()), True, id="queued"),
        pytest.param(given(job(), run=running()), True, id="running"),
        pytest.param(given(job(cancel=True), run=running()), True, id="being cancelled"),
        pytest.param(given(job(), run=succeeded()), False, id="ended"),
        pytest.param(given(job(), status=under_way(), run=unread()), False, id="not read yet"),
        pytest.param(given(job()), False, id="not begun"),
        pytest.param(given(job(), status=retrying(), run=failed()), False, id="between two attempts"),
        pytest.param(given(job(), status=finished(), run=running()), False, id="of a finished MLJob"),
    ],
)
def test_a_run_in_progress_was_seen_in_airflow_and_not_its_end(situation: Given, expected: bool) -> None:
    assert is_in_progress(classified(situation)) is expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([], True, id="no task"),
        pytest.param(["none", "scheduled", "queued"], True, id="tasks that wait for a worker"),
        pytest.param(["success", "failed", "skipped"], True, id="tasks that have ended"),
        pytest.param(["success", "running"], False, id="a running task"),
        pytest.param(["deferred"], False, id="a deferred task"),
        pytest.param(["up_for_reschedule"], False, id="a sensor"),
        pytest.param(["up_for_retry"], True, id="a task between two tries"),
    ],
)
def test_a_still_run_has_no_active_task(states: list[str], expected: bool) -> None:
    tasks = [task(f"task-{number}", state) for number, state in enumerate(states)]
    assert is_still(classified(job(), run=running(*tasks))) is expected


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), run=running(task("fit"))), False, id="running as its events say"),
        pytest.param(given(job(), run=running()), True, id="its tasks are not known"),
        pytest.param(given(job(cancel=True), run=running(task("fit"))), True, id="being cancelled"),
        pytest.param(
            given(job(), run=running(task("fit", "success"), task("score", "failed"))), True, id="all tasks have ended"
        ),
        pytest.param(
            given(job(), run=succeeded(task("fit", "success"))), False, id="it has ended, and its tasks are known"
        ),
        pytest.param(given(job(), status=under_way(), run=unread()), False, id="not read yet"),
        pytest.param(given(job(cancel=True)), False, id="there is no run to cancel"),
        pytest.param(given(job(cancel=True), status=submitting()), False, id="no run was submitted"),
        pytest.param(given(job(), status=finished(), run=running()), False, id="of a finished MLJob"),
    ],
)
def test_a_hot_run_may_change_without_an_event(situation: Given, expected: bool) -> None:
    assert is_hot(classified(situation), NOW) is expected


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        pytest.param(backfill(RUNS), False, id="no event yet"),
        pytest.param(backfill(RUNS, last_event=ago(2.9)), True, id="an event less than 3 s ago"),
        pytest.param(backfill(RUNS, last_event=ago(3)), False, id="an event 3 s ago"),
    ],
)
def test_a_backfill_is_hot_after_an_event_of_one_of_its_runs(run: ObservedRun, expected: bool) -> None:
    assert is_hot(classified(backfill_job(), run=run), NOW) is expected
