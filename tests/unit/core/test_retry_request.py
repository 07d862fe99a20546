"""Retries that users request by an annotation."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.mljob import MAX_RETRY_REQUEST, RETRY_REQUESTED_AT
from mljob_operator.core.mljob.outstanding import is_done, wants_retry
from mljob_operator.core.mljob.resource.job import Job

from .situations import (
    AddFinalizer,
    BeginAttempt,
    Expire,
    Given,
    Release,
    Store,
    Submit,
    Wait,
    ago,
    attempt,
    backfill_job,
    catalog,
    decided,
    ended,
    error,
    events,
    failed,
    finished,
    given,
    job,
    later,
    queued,
    reported,
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

RETRY: dict[str, Any] = {"retry": "now"}
REQUESTED: dict[str, Any] = {"last_handled_retry": "now"}
NEVER_BEGUN = {
    "phase": "Failed",
    "reason": "PreRunningDeadlineExceeded",
    "message": "No task had started.",
    "completionTime": "2026-01-01T11:00:00Z",
    "observedGeneration": 1,
}
NOT_READY = catalog(not_ready={"": "Check the URL."})
HOW = "To retry: kubectl annotate --overwrite -n team-a mljob/train mljob.dev/retry-requested-at=$(date +%s)"


@pytest.mark.parametrize(
    ("situation", "number", "run"),
    [
        pytest.param(given(job(**RETRY), status=finished("Failed")), 2, 1, id="ClearFailed goes on with the run"),
        pytest.param(
            given(job(retry_strategy="NewRun", **RETRY), status=finished("Failed")), 2, 2, id="NewRun takes another run"
        ),
        pytest.param(
            given(
                job(backoff_limit=1, **RETRY),
                status=finished("Failed", "BackoffLimitExceeded", 2, failures=2, history=(ended(1),)),
            ),
            3,
            1,
            id="no automatic retry is left",
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Succeeded")), 2, 2, id="a run that succeeded is followed by another"
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed", "DagRunDeleted")), 2, 2, id="the run is not in Airflow"
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed", "DeadlineExceeded")), 2, 2, id="the run was cancelled"
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed", "PreRunningDeadlineExceeded", submitted=None)),
            2,
            2,
            id="the run never began",
        ),
        pytest.param(
            given(backfill_job(**RETRY), status=finished("Failed", "DeadlineExceeded")),
            2,
            1,
            id="a cancelled backfill is repeated",
        ),
        pytest.param(given(job(**RETRY), status=NEVER_BEGUN), 1, 1, id="no attempt was begun"),
        pytest.param(
            given(job(run_policy="OncePerSpec", **RETRY), status=finished("Succeeded")),
            2,
            2,
            id="OncePerSpec takes over no run on request",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec", **RETRY),
                status=finished("Succeeded", number=2, run=2, history=(ended(1, "Succeeded", "Succeeded"),)),
            ),
            3,
            3,
            id="OncePerSpec counts on",
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed", ran={"dag_id": "other"})),
            2,
            1,
            id="Once runs the spec of the first attempt",
        ),
        pytest.param(
            given(job(run_policy="OnChange", **RETRY), status=finished("Failed", ran={"dag_id": "other"})),
            2,
            2,
            id="OnChange runs the changed spec",
        ),
        pytest.param(
            given(job(backoff_limit=3, **RETRY), status=retrying(3, failures=3, at=ago(10), history=(ended(2),))),
            4,
            1,
            id="the backoff is cut to that of a first retry",
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed", last_handled_retry="before")), 2, 1, id="another value"
        ),
        pytest.param(
            given(job(ttl_seconds_after_finished=50, **RETRY), status=finished("Failed")),
            2,
            1,
            id="the time to live has ended as well",
        ),
        pytest.param(given(job(**RETRY), status=suspended()), 2, 2, id="a resumed MLJob"),
    ],
)
def test_a_requested_retry_begins_an_attempt(situation: Given, number: int, run: int) -> None:
    action = decided(situation)
    assert isinstance(action, BeginAttempt)
    assert (action.attempt.number, run_number(action.attempt.run_id)) == (number, run)


def test_a_spec_that_becomes_the_same_again_takes_over_the_newest_of_two_runs_that_succeeded() -> None:
    before = (ended(1, "Succeeded", "Succeeded"), ended(2, "Succeeded", "Succeeded", run=2))
    status = finished(number=3, ran={"dag_id": "other"}, history=before)
    action = decided(job(run_policy="OncePerSpec"), status=status)
    assert isinstance(action, BeginAttempt)
    assert (action.attempt.number, run_number(action.attempt.run_id)) == (4, 2)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(held=False, **RETRY), status=finished("Failed")), AddFinalizer(), id="the finalizer comes first"
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed", completed=ago(4))),
            Wait(later(6)),
            id="the first ten seconds after the end",
        ),
        pytest.param(
            given(job(held=False, **RETRY), status=finished("Failed"), catalog=NOT_READY), Wait(), id="a blocker"
        ),
        pytest.param(
            given(job(**RETRY), status=finished("Failed"), catalog=NOT_READY),
            Release(),
            id="a blocker, which may wait for the finalizer",
        ),
        pytest.param(
            given(job(held=False, **RETRY), status=finished("Failed", **REQUESTED)), Wait(), id="handled already"
        ),
        pytest.param(
            given(job(held=False), status=finished("Failed", **REQUESTED)), Wait(), id="the annotation was removed"
        ),
        pytest.param(
            given(job(held=False, cancel=True, **RETRY), status=finished("Cancelled")), Wait(), id="cancelled for good"
        ),
        pytest.param(given(job(held=False, suspend=True, **RETRY), status=finished("Failed")), Wait(), id="suspended"),
        pytest.param(given(job(deleted=ago(5), **RETRY), status=finished("Failed")), Release(), id="deleted"),
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=50), status=finished("Failed", **REQUESTED)),
            Expire(),
            id="expired",
        ),
        pytest.param(given(job(**RETRY), run=running()), Wait(), id="a run in progress"),
        pytest.param(
            given(job(backoff_limit=1, **RETRY), status=retrying(at=ago(4))), Wait(later(6)), id="the backoff"
        ),
        pytest.param(given(job(**RETRY), run=failed(listed=True)), Store(), id="the verdict is stored first"),
        pytest.param(given(job(**RETRY), status=submitting()), Store(), id="a run that is yet to be submitted"),
        pytest.param(
            given(job(**RETRY), status=submitting(**REQUESTED)), Submit(), id="that run, once the status says so"
        ),
    ],
)
def test_a_requested_retry_does_not_begin_an_attempt_at_once(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("situation", "handled"),
    [
        pytest.param(
            given(job(**RETRY), status=finished("Failed", failures=3), begun=attempt(2)), "now", id="an attempt begins"
        ),
        pytest.param(given(job(**RETRY), begun=attempt(1)), "now", id="the first attempt begins"),
        pytest.param(
            given(job(**RETRY), status=submitting(2, failures=1, history=(ended(1),))), "now", id="a run is submitted"
        ),
        pytest.param(
            given(job(**RETRY), status=submitting(), error=error("DagNotFound", starting=True), unknown_until=later(5)),
            "now",
            id="a submission is tried again",
        ),
        pytest.param(given(job(**RETRY), run=running()), None, id="not by a run in progress"),
        pytest.param(given(job(**RETRY), run=failed(listed=True)), None, id="not by an attempt that ends"),
        pytest.param(given(job(**RETRY), status=finished("Failed")), None, id="not before the attempt begins"),
        pytest.param(
            given(job(active_deadline_seconds=60, **RETRY), status=submitting()),
            None,
            id="not by an attempt that is cancelled",
        ),
        pytest.param(given(job(suspend=True, **RETRY), status=submitting()), None, id="not by a suspended one"),
    ],
)
def test_the_status_says_which_attempt_handles_the_request(situation: Given, handled: str | None) -> None:
    assert reported(situation).get("lastHandledRetry") == handled


def test_a_requested_retry_counts_from_zero() -> None:
    status = finished("Failed", "BackoffLimitExceeded", failures=3, active=ago(3600))
    told = reported(job(backoff_limit=2, **RETRY), status=status, begun=attempt(2))
    assert (told["attempts"], told.get("failedAttempts")) == (2, None)
    assert told["activeSince"] == "2026-01-01T12:00:00Z", "the deadline counts from zero too"
    assert reported(job(**RETRY), status=submitting(2, failures=1, history=(ended(1),))).get("failedAttempts") is None


def test_a_retry_after_no_attempt_has_no_history() -> None:
    told = reported(job(**RETRY), status=NEVER_BEGUN, begun=attempt(1))
    assert (told["attempts"], told["phase"], told.get("history")) == (1, "Pending", None)


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(given(job(), run=failed(task("fit", "failed"), listed=True)), id="a task failed"),
        pytest.param(
            given(job(backoff_limit=2), status=under_way(failures=2), run=failed(listed=True)), id="no retry is left"
        ),
        pytest.param(
            given(
                job(active_deadline_seconds=60),
                announced="DeadlineExceeded",
                run=failed(listed=True),
                children_seen=True,
            ),
            id="a deadline has passed",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "failed", error=("ValueError", "x" * 5000)), listed=True)),
            id="the error is long",
        ),
        pytest.param(
            given(
                job(backoff_limit=1),
                status=under_way(failures=1),
                run=failed(task("fit", "failed", error=("ValueError", "\x00" * 400)), listed=True),
            ),
            id="the error needs many bytes",
        ),
    ],
)
def test_a_failed_mljob_says_how_to_retry_it(situation: Given) -> None:
    message = reported(situation)["message"]
    failure, command = message[: -len(HOW)], message[-len(HOW) :]
    assert command == HOW
    assert failure.endswith((". ", "... "))
    assert len(message) <= 1024


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(given(job(), run=succeeded(listed=True)), id="it succeeded"),
        pytest.param(given(job(backoff_limit=1), run=failed(listed=True)), id="an automatic retry follows"),
        pytest.param(given(job(cancel=True), run=failed(listed=True)), id="it is cancelled"),
        pytest.param(given(job(deleted=ago(5)), run=failed(listed=True), announced="Cancelling"), id="it is deleted"),
    ],
)
def test_other_messages_do_not(situation: Given) -> None:
    assert "kubectl annotate" not in reported(situation)["message"]


def test_the_history_has_the_failure_without_the_command() -> None:
    first = reported(job(), run=failed(task("fit", "failed", error=("ValueError", "no such column")), listed=True))
    (entry,) = reported(job(**RETRY), status=first, run=unread(), begun=attempt(2))["history"]
    assert entry["message"] == "Task fit failed at try 1: ValueError: no such column."


def conditions(situation: Given) -> dict[str, tuple[str, str]]:
    return {told["type"]: (told["status"], told["reason"]) for told in reported(situation)["conditions"]}


def test_a_retry_that_can_not_begin_keeps_the_verdict_and_says_why() -> None:
    full = catalog(full=[""], settings_access=[{"maxActiveRuns": 1}])
    blocked = given(job(**RETRY), status=finished("Failed"), catalog=full)
    told = conditions(blocked)
    assert reported(blocked)["phase"] == "Failed"
    assert (told["Failed"], told["Reconciling"]) == (("True", "TaskFailed"), ("True", "ConcurrencyLimit"))
    assert told["Stalled"][0] == "False"
    assert "SpecApplied" not in told


def test_a_retry_with_an_invalid_spec_keeps_the_verdict_and_names_the_field() -> None:
    blocked = given(job(conf="no object", **RETRY), status=finished("Failed"))
    told = conditions(blocked)
    assert told["Stalled"] == ("True", "ValidationFailed")
    assert told["SpecApplied"] == ("False", "ValidationFailed")


def reasons(before: Given, **known: Any) -> list[str]:
    old = reported(before)
    return [reason for _, reason, _ in events(old, reported(before.job, status=old, **known))]


def test_an_event_says_that_the_attempt_was_requested() -> None:
    situation = given(job(**RETRY), status=finished("Failed"))
    assert reasons(situation, begun=attempt(2)) == ["RetryRequested"]


def test_the_first_attempt_needs_no_event() -> None:
    assert reasons(given(job(**RETRY)), begun=attempt(1)) == []


def test_a_run_that_somebody_cleared_counts_as_the_requested_retry() -> None:
    cleared = queued(queued_at=ago(3))
    action = decided(job(**RETRY), status=finished("Failed"), run=cleared)
    assert isinstance(action, BeginAttempt)
    told = reported(job(**RETRY), status=finished("Failed"), run=cleared, begun=attempt(2))
    assert (told["attempts"], told["lastHandledRetry"]) == (2, "now")


def read(annotations: Any, **status: Any) -> Job:
    body = job().body(status)
    body["metadata"]["annotations"] = annotations
    return Job.from_object(body)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param(None, None, id="no annotations"),
        pytest.param({"other": "now"}, None, id="other annotations"),
        pytest.param({RETRY_REQUESTED_AT: ""}, None, id="an empty value"),
        pytest.param({RETRY_REQUESTED_AT: "2026-03-02T09:00:00Z"}, "2026-03-02T09:00:00Z", id="a time"),
        pytest.param({RETRY_REQUESTED_AT: "bitte\nnochmal \x00 🙏"}, "bitte\nnochmal \x00 🙏", id="any text"),
        pytest.param({RETRY_REQUESTED_AT: "a" * 300_000}, "a" * MAX_RETRY_REQUEST, id="a long text"),
    ],
)
def test_the_annotation_is_read(annotations: Any, expected: str | None) -> None:
    assert read(annotations).retry_request == expected


def test_a_long_value_is_handled_once() -> None:
    long = {RETRY_REQUESTED_AT: "🙏" * 300}
    assert wants_retry(read(long))
    assert not wants_retry(read(long, lastHandledRetry="🙏" * MAX_RETRY_REQUEST))


def test_a_finished_mljob_with_a_request_is_not_done() -> None:
    status = {"phase": "Failed", "observedGeneration": 1, "lastHandledRetry": "before"}
    body = job(held=False, retry="before").body(status)
    assert is_done(Job.from_object(body))
    body["metadata"]["annotations"][RETRY_REQUESTED_AT] = "now"
    assert not is_done(Job.from_object(body))
    body["spec"]["suspend"] = True
    assert is_done(Job.from_object(body))
