"""The messages while a run is cancelled, after it has ended, and if an MLJob ends without a run."""

from __future__ import annotations

from typing import Any

import pytest

from .situations import (
    Given,
    ago,
    backfill,
    backfill_job,
    cancelling,
    error,
    failed,
    finished,
    given,
    job,
    not_found,
    queued,
    reported,
    running,
    submitting,
    succeeded,
    suspended,
    task,
    under_way,
)
from .test_messages import GONE, RUNS, says


@pytest.mark.parametrize(
    ("situation", "reason", "words"),
    [
        pytest.param(given(job(deleted=ago(5)), run=running()), "Cancelling", ["cancellation DAG"], id="deleted"),
        pytest.param(given(job(cancel=True), run=running()), "CancelRequested", ["spec.cancel"], id="cancelled"),
        pytest.param(
            given(job(active_deadline_seconds=60), run=running()),
            "DeadlineExceeded",
            ["activeDeadlineSeconds (60 s)"],
            id="active for too long",
        ),
        pytest.param(
            given(job(pre_running_deadline_seconds=60), run=queued(), halt="DagPaused"),
            "PreRunningDeadlineExceeded",
            ["preRunningDeadlineSeconds (60 s)", "DAG train is paused"],
            id="not started in time",
        ),
        pytest.param(given(job(suspend=True), run=running()), "Suspending", ["suspended"], id="suspended"),
        pytest.param(
            given(job(run_policy="OnChange"), status=under_way(ran={"dag_id": "other"}), run=running()),
            "SpecChanged",
            ["runPolicy OnChange"],
            id="another spec",
        ),
        pytest.param(
            given(job(cancel=True, cancellation={"strategy": "Api"}), run=running()),
            "CancelRequested",
            ["REST API"],
            id="through REST",
        ),
        pytest.param(
            given(job(cancel=True), run=running(), cancel_dag_refused="mljob_cancel is paused"),
            "CancelRequested",
            ["REST API", "mljob_cancel is paused"],
            id="through REST, and why",
        ),
        pytest.param(
            given(backfill_job(cancel=True), run=backfill(RUNS)),
            "CancelRequested",
            ["backfill and its runs", "REST API"],
            id="a backfill",
        ),
        pytest.param(
            given(job(cancel=True), status=cancelling("CancelRequested", submitted=None)),
            "CancelRequested",
            ["Checking Airflow for a run"],
            id="is there a run?",
        ),
        pytest.param(
            given(job(cancel=True), run=running(), error=error(message="No answer in 5 s.")),
            "CancelRequested",
            ["No answer in 5 s."],
            id="Airflow can't be asked",
        ),
    ],
)
def test_message_while_cancelling(situation: Given, reason: str, words: list[str]) -> None:
    says(situation, "Cancelling", reason, words)


def over(spec: dict[str, Any], announced: str) -> Given:
    return given(job(**spec), announced=announced, run=failed(listed=True), children_seen=True)


@pytest.mark.parametrize(
    ("situation", "phase", "reason", "words"),
    [
        pytest.param(
            given(job(), run=succeeded(task("fit", "success"), listed=True), read_at=ago(1)),
            "Succeeded",
            "Succeeded",
            ["succeeded", "1/1 tasks"],
            id="succeeded",
        ),
        pytest.param(
            given(job(), run=succeeded(read=ago(30))),
            "Succeeded",
            "Succeeded",
            ["outputs could not be read"],
            id="succeeded, and its outputs follow",
        ),
        pytest.param(
            given(job(cancel=True), run=succeeded(listed=True), announced="CancelRequested"),
            "Succeeded",
            "Succeeded",
            ["succeeded"],
            id="succeeded before it was cancelled",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "failed", error=("ValueError", "no such column")), listed=True)),
            "Failed",
            "TaskFailed",
            ["Task fit", "try 1", "ValueError: no such column"],
            id="a task failed",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "failed"), task("load", "failed", index=2, at=ago(400)), listed=True)),
            "Failed",
            "TaskFailed",
            ["Task load[2]", "1 more failed", "log"],
            id="several tasks failed",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "success"), listed=True)),
            "Failed",
            "DagRunFailed",
            ["dagrun_timeout"],
            id="no task failed",
        ),
        pytest.param(given(job(), run=GONE), "Failed", "DagRunDeleted", ["deleted in Airflow"], id="the run is gone"),
        pytest.param(
            given(job(backoff_limit=2), status=under_way(failures=2), run=failed(task("fit", "failed"), listed=True)),
            "Failed",
            "BackoffLimitExceeded",
            ["3 attempts", "backoffLimit 2", "Task fit"],
            id="no retry is left",
        ),
        pytest.param(
            over({"cancel": True}, "CancelRequested"), "Cancelled", "CancelRequested", ["spec.cancel"], id="cancelled"
        ),
        pytest.param(
            over({"active_deadline_seconds": 60, "backoff_limit": 3}, "DeadlineExceeded"),
            "Failed",
            "DeadlineExceeded",
            ["activeDeadlineSeconds (60 s)"],
            id="active for too long",
        ),
        pytest.param(
            over({"pre_running_deadline_seconds": 60}, "PreRunningDeadlineExceeded"),
            "Failed",
            "PreRunningDeadlineExceeded",
            ["preRunningDeadlineSeconds (60 s)"],
            id="not started in time",
        ),
        pytest.param(
            over({"suspend": True}, "Suspending"), "Suspended", "Suspended", ["spec.suspend to false"], id="suspended"
        ),
        pytest.param(over({"deleted": ago(5)}, "Cancelling"), "Cancelled", "Cancelled", ["deleted"], id="deleted"),
        pytest.param(
            given(job(deleted=ago(5)), announced="Cancelling", run=GONE),
            "Cancelled",
            "Cancelled",
            ["not in Airflow any more"],
            id="deleted, and the run is gone",
        ),
        pytest.param(
            given(job(), status=finished(message="The run succeeded."), run=succeeded(), read_at=ago(1)),
            "Succeeded",
            "Succeeded",
            ["The run succeeded."],
            id="what a finished MLJob says stands",
        ),
    ],
)
def test_message_after_the_end(situation: Given, phase: str, reason: str, words: list[str]) -> None:
    says(situation, phase, reason, words)


def test_the_note_about_missing_outputs_disappears_once_they_are_read() -> None:
    first = reported(job(), run=succeeded(read=ago(30)))
    second = reported(job(), status=first, run=succeeded(), read_at=ago(0), outputs={"score": 1})
    assert second["message"] == "The run succeeded."
    assert second["outputs"] == {"score": 1}


@pytest.mark.parametrize(
    ("situation", "phase", "reason", "words"),
    [
        pytest.param(given(job(suspend=True)), "Suspended", "Suspended", ["spec.suspend to false"], id="suspended"),
        pytest.param(
            given(job(suspend=True), status=suspended()),
            "Suspended",
            "Suspended",
            ["spec.suspend"],
            id="still suspended",
        ),
        pytest.param(given(job(cancel=True)), "Cancelled", "CancelRequested", ["spec.cancel"], id="cancelled"),
        pytest.param(given(job(deleted=ago(5))), "Cancelled", "Cancelled", ["deleted"], id="deleted"),
        pytest.param(
            given(
                job(pre_running_deadline_seconds=600),
                status=submitting(),
                kept_by="There is no DAG train.",
                run=not_found(since=ago(10), again=True),
            ),
            "Failed",
            "PreRunningDeadlineExceeded",
            ["preRunningDeadlineSeconds (600 s)", "There is no DAG train."],
            id="not submitted in time, and why",
        ),
    ],
)
def test_message_if_the_mljob_is_stopped_before_its_first_run(
    situation: Given, phase: str, reason: str, words: list[str]
) -> None:
    says(situation, phase, reason, words)
