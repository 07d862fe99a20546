from __future__ import annotations

import pytest

from tests.unit.core.situations import BeginAttempt

from .situations import (
    AddFinalizer,
    CancelDirectly,
    Given,
    ListTasks,
    LookUpRun,
    Release,
    Store,
    Submit,
    TakeOver,
    TriggerCancellation,
    Wait,
    ago,
    attempt,
    cancelling,
    decided,
    ended,
    error,
    failed,
    finished,
    given,
    job,
    later,
    not_found,
    queued,
    retrying,
    run_number,
    running,
    submitting,
    succeeded,
    suspended,
    task,
    under_way,
    unread,
)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(), status=submitting(), restarted=True), TakeOver(), id="announced by a process that is gone"
        ),
        pytest.param(
            given(job(suspend=True), status=submitting(), restarted=True),
            TakeOver(),
            id="also where the run is not to start any more",
        ),
        pytest.param(
            given(job(), status=submitting(), restarted=True, left_until=later(5)),
            Wait(later(5)),
            id="waits while the other process may be at work",
        ),
        pytest.param(
            given(job(), status=submitting(), restarted=True, left_until=ago(1)),
            TakeOver(),
            id="after that time",
        ),
        pytest.param(given(job(), status=submitting()), Submit(), id="passes: this process announced it"),
        pytest.param(given(job(), run=running(), restarted=True), Wait(), id="passes: the run is in Airflow"),
        pytest.param(
            given(job(), status=under_way(), restarted=True), Wait(), id="passes: the status says that it was submitted"
        ),
        pytest.param(
            given(job(held=False), status=finished("Cancelled", submitted=None), restarted=True),
            Wait(),
            id="passes: the attempt is over",
        ),
        pytest.param(
            given(job(deleted=ago(5)), status=submitting(), restarted=True, refused=True),
            LookUpRun(),
            id="passes: deleted, and the API server refuses its status",
        ),
    ],
)
def test_take_over(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), begun=attempt(1)), Store(), id="a first attempt"),
        pytest.param(
            given(job(backoff_limit=1), status=retrying(at=ago(20)), begun=attempt(2, run=2)),
            Store(),
            id="another attempt",
        ),
        pytest.param(
            given(job(), status=submitting(by="another-process"), begun=attempt(1)), Store(), id="that this one submits"
        ),
        pytest.param(given(job(suspend=True), run=running()), Store(), id="suspended"),
        pytest.param(given(job(cancel=True), run=running()), Store(), id="cancelled"),
        pytest.param(given(job(deleted=ago(5)), run=running()), Store(), id="deleted"),
        pytest.param(given(job(active_deadline_seconds=600), run=running()), Store(), id="active for too long"),
        pytest.param(given(job(pre_running_deadline_seconds=600), run=queued()), Store(), id="not started in time"),
        pytest.param(
            given(job(run_policy="OnChange"), status=under_way(ran={"dag_id": "other"}), run=running()),
            Store(),
            id="another spec",
        ),
        pytest.param(
            given(job(suspend=True, cancel=True), run=running(), announced="Suspending"),
            Store(),
            id="another reason, which comes first",
        ),
        pytest.param(
            given(job(cancel=True), status=submitting()), Store(), id="cancelled before the submission was answered"
        ),
        pytest.param(
            given(job(suspend=True), run=running(), announced="Suspending"),
            TriggerCancellation(),
            id="passes: stored already",
        ),
        pytest.param(
            given(job(), run=running(), announced="Suspending"),
            TriggerCancellation(),
            id="passes: a reason that went stays the reason",
        ),
        pytest.param(given(job(), run=running()), Wait(), id="passes: a run that may go on"),
        pytest.param(
            given(job(), status=under_way(ran={"dag_id": "other"}), run=running()),
            Wait(),
            id="passes: another spec with runPolicy Once",
        ),
        pytest.param(
            given(job(deleted=ago(5)), run=running(), refused=True),
            TriggerCancellation(),
            id="passes: deleted, and the API server refuses its status",
        ),
        pytest.param(
            given(job(active_deadline_seconds=601), run=running()), Wait(later(1)), id="passes: a deadline to come"
        ),
        pytest.param(
            given(job(pre_running_deadline_seconds=600), run=queued(task("fit", at=ago(20), event=True))),
            ListTasks(),
            id="passes: an event says that a task has started in time",
        ),
        pytest.param(
            given(
                job(pre_running_deadline_seconds=600),
                run=queued(task("fit", at=ago(20), event=True)),
                looked_up=ago(0),
            ),
            Store(),
            id="not started in time, as Airflow said when it was asked",
        ),
        pytest.param(
            given(job(pre_running_deadline_seconds=600), run=running(task("fit"))), Wait(), id="passes: a task started"
        ),
    ],
)
def test_the_status_is_stored_before_the_next_action(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


GIVEN_UP = finished("Cancelled", submitted=None)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(held=False), status=GIVEN_UP, run=running()), CancelDirectly(), id="a run in progress"),
        pytest.param(
            given(job(held=False), status=GIVEN_UP, run=queued()), CancelDirectly(), id="a run that is queued"
        ),
        pytest.param(
            given(job(backoff_limit=1), status=retrying(submitted=None), run=running()),
            CancelDirectly(),
            id="before another attempt",
        ),
        pytest.param(
            given(job(held=False), status=GIVEN_UP, run=running(), cancelled_at=ago(3)),
            Wait(later(7)),
            id="waits for the cancellation to show",
        ),
        pytest.param(
            given(job(held=False), status=GIVEN_UP, run=running(), cancelled_at=ago(10)),
            CancelDirectly(),
            id="again after that",
        ),
        pytest.param(
            given(job(held=False), status=GIVEN_UP, run=running(), error=error(again=later(5))),
            Wait(later(5)),
            id="waits until what failed is tried again",
        ),
        pytest.param(given(job(), status=GIVEN_UP, run=failed(listed=True)), Release(), id="passes: the run has ended"),
        pytest.param(
            given(job(held=False), status=finished("Cancelled"), run=running()),
            Wait(),
            id="passes: the attempt's own run",
        ),
    ],
)
def test_a_run_that_arrives_late_is_cancelled(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


CLEARED = queued(queued_at=ago(3))


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(given(job(), status=finished("Failed"), run=CLEARED), id="after a failure"),
        pytest.param(given(job(), status=finished("Succeeded"), run=CLEARED), id="after a success"),
        pytest.param(given(job(backoff_limit=1), status=retrying(), run=CLEARED), id="before a retry"),
    ],
)
def test_following_a_cleared_run_begins_an_attempt_with_the_same_run(situation: Given) -> None:
    action = decided(situation)
    assert isinstance(action, BeginAttempt)
    assert (action.attempt.number, run_number(action.attempt.run_id)) == (2, 1)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(held=False), status=finished("Failed"), run=CLEARED),
            AddFinalizer(),
            id="the finalizer comes first",
        ),
        pytest.param(
            given(job(cancel=True, held=False), status=finished("Cancelled"), run=CLEARED),
            Wait(),
            id="passes: an MLJob that was cancelled",
        ),
        pytest.param(
            given(job(suspend=True), status=suspended(), run=CLEARED),
            Release(),
            id="passes: an MLJob that is suspended",
        ),
        pytest.param(
            given(job(held=False), status=finished("Failed"), run=queued(queued_at=ago(101))),
            Wait(),
            id="passes: queued before its end",
        ),
        pytest.param(
            given(job(held=False), status=finished("Cancelled", submitted=None), run=CLEARED),
            CancelDirectly(),
            id="passes: a run that arrived late",
        ),
        pytest.param(given(job(), run=CLEARED), Wait(), id="passes: an attempt that goes on"),
    ],
)
def test_a_cleared_run_is_followed(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


def test_a_cleared_run_is_followed_before_it_is_known_whether_it_ended_again() -> None:
    action = decided(job(), status=finished("Failed"), run=failed(queued_at=ago(3)))
    assert isinstance(action, BeginAttempt)
    assert action.attempt.number == 2
    assert decided(job(), status=submitting(2, history=(ended(1),)), run=succeeded(queued_at=ago(3))) == ListTasks()


def test_a_deleted_run_ends_its_attempt_before_it_is_cancelled_again() -> None:
    gone = not_found(since=ago(10), again=True, after=running())
    assert decided(job(suspend=True), status=cancelling("Suspending"), run=gone) == Store()
    assert decided(job(suspend=True), status=cancelling("Suspending"), run=unread()) == LookUpRun()
