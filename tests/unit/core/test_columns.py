"""The columns of ``kubectl get`` after an attempt of an MLJob has ended."""

from __future__ import annotations

from typing import Any

import pytest

from .situations import (
    ago,
    attempt,
    cancelling,
    failed,
    finished,
    job,
    reported,
    succeeded,
    task,
    under_way,
    unread,
)

LOADED = task("load", "success", end=ago(90))
FIT_FAILED = task("fit", "failed", end=ago(60))
SCORE_FAILED = task("score", "failed", index=2, end=ago(70))
NOT_RUN = task("publish", "upstream_failed")


def columns(*args: Any, **more: Any) -> tuple[str | None, ...]:
    status = reported(*args, **more)
    return tuple(status.get(name) for name in ("phase", "reason", "progress", "currentTask"))


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        pytest.param([LOADED, FIT_FAILED, NOT_RUN], ("TaskFailed", "1/3", "fit"), id="a task failed"),
        pytest.param([FIT_FAILED, SCORE_FAILED], ("TaskFailed", "0/2", "score"), id="the one that failed first"),
        pytest.param([LOADED, task("fit", "skipped")], ("DagRunFailed", "1/2", None), id="no task failed"),
    ],
)
def test_failed_mljob_names_its_failed_task(tasks: list[Any], expected: tuple[str, str, str | None]) -> None:
    run = failed(*tasks, listed=True)
    assert columns(job(), status=under_way(), run=run) == ("Failed", *expected)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(unread(FIT_FAILED), id="after a restart"),
        pytest.param(failed(LOADED, FIT_FAILED, SCORE_FAILED, listed=True), id="after the last list of its tasks"),
    ],
)
def test_failed_mljob_keeps_the_task_that_its_message_names(run: Any) -> None:
    ended = finished("Failed", current_task="fit", progress="1/3")
    assert columns(job(), status=ended, run=run) == ("Failed", "TaskFailed", "1/3", "fit")


@pytest.mark.parametrize(
    ("reason", "more", "expected"),
    [
        pytest.param("CancelRequested", {"cancel": True}, ("Cancelled", "CancelRequested"), id="cancelled"),
        pytest.param(
            "DeadlineExceeded", {"active_deadline_seconds": 60}, ("Failed", "DeadlineExceeded"), id="deadline"
        ),
        pytest.param("Suspending", {"suspend": True}, ("Suspended", "Suspended"), id="suspended"),
    ],
)
def test_cancelled_run_names_no_failed_task(reason: str, more: dict[str, Any], expected: tuple[str, str]) -> None:
    run = failed(LOADED, FIT_FAILED, task("publish", "skipped"), listed=True)
    told = columns(job(**more), status=cancelling(reason), run=run, children_seen=True)
    assert told == (*expected, "1/3", None)


def test_mljob_that_failed_at_its_deadline_still_names_no_failed_task() -> None:
    run = failed(LOADED, FIT_FAILED, listed=True)
    ended = finished("Failed", "DeadlineExceeded")
    assert columns(job(), status=ended, run=run) == ("Failed", "DeadlineExceeded", "1/2", None)


def test_last_failed_attempt_names_its_failed_task() -> None:
    status = under_way(2, failures=1, history=())
    told = columns(job(backoff_limit=1), status=status, run=failed(LOADED, FIT_FAILED, listed=True))
    assert told == ("Failed", "BackoffLimitExceeded", "1/2", "fit")


def test_mljob_between_two_attempts_names_no_task() -> None:
    run = failed(LOADED, FIT_FAILED, listed=True)
    assert columns(job(backoff_limit=1), status=under_way(), run=run) == ("Pending", "RetryBackoff", "1/2", None)


def test_next_attempt_on_the_same_run_does_not_name_the_failed_task_of_the_last_one() -> None:
    ended = finished("Failed", current_task="fit", progress="1/2")
    assert columns(job(), status=ended, begun=attempt(2, run=1)) == ("Pending", "Submitting", "1/2", None)


def test_succeeded_mljob_counts_a_branch_that_was_not_taken() -> None:
    run = succeeded(LOADED, task("fit", "skipped"), listed=True)
    assert columns(job(), status=under_way(), run=run) == ("Succeeded", "Succeeded", "2/2", None)
